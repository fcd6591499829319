// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/camera/splat.hpp"

#include <algorithm>

#include <torch/torch.h>

namespace bevfusion {
namespace {

struct Splat : torch::autograd::Function<Splat> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& depth,
                               const torch::Tensor& features, const torch::Tensor& pixel, const torch::Tensor& cell,
                               std::int64_t cells, std::int64_t chunk_rows) {
    context->save_for_backward({depth, features, pixel, cell});
    context->saved_data["chunk_rows"] = chunk_rows;
    torch::Tensor grid = features.new_zeros({cells, features.size(1)});
    for_chunks(depth.size(0), chunk_rows, [&](std::int64_t from, std::int64_t to) {
      grid.index_add_(0, cell.slice(0, from, to),
                      features.index_select(0, pixel.slice(0, from, to)).mul_(depth.slice(0, from, to).unsqueeze(1)));
    });
    return grid;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor& depth = saved[0];
    const torch::Tensor& features = saved[1];
    const torch::Tensor& pixel = saved[2];
    const torch::Tensor& cell = saved[3];
    torch::Tensor depth_gradient = torch::empty_like(depth);
    torch::Tensor feature_gradient = torch::zeros_like(features);
    for_chunks(depth.size(0), context->saved_data["chunk_rows"].toInt(), [&](std::int64_t from, std::int64_t to) {
      const torch::Tensor pixels = pixel.slice(0, from, to);
      torch::Tensor arriving = gradients[0].index_select(0, cell.slice(0, from, to));
      depth_gradient.slice(0, from, to).copy_((arriving * features.index_select(0, pixels)).sum(1));
      feature_gradient.index_add_(0, pixels, arriving.mul_(depth.slice(0, from, to).unsqueeze(1)));
    });
    return {depth_gradient, feature_gradient, {}, {}, {}, {}};
  }

 private:
  template <class Work>
  static void for_chunks(std::int64_t count, std::int64_t rows, Work work) {
    for (std::int64_t from = 0; from < count; from += rows) {
      work(from, std::min(count, from + rows));
    }
  }
};

}  // namespace

torch::Tensor splat(const torch::Tensor& depth, const torch::Tensor& context, const torch::Tensor& pixel,
                    const torch::Tensor& cell, std::int64_t cells, std::int64_t chunk_rows) {
  return Splat::apply(depth, context, pixel, cell, cells, chunk_rows);
}

}  // namespace bevfusion
