// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/sparse/sparse_convolution.hpp"

#include <algorithm>
#include <cmath>

#include <torch/torch.h>

namespace bevfusion {
namespace {

/// The rows of `source` [N, C] that `table` [M, K] names, one behind the other: [M, K C]; the index N names a row of zeros.
torch::Tensor gather_rows(const torch::Tensor& source, const torch::Tensor& table) {
  const torch::Tensor padded = torch::cat({source, source.new_zeros({1, source.size(1)})});
  return padded.index_select(0, table.flatten()).view({table.size(0), table.size(1) * source.size(1)});
}

struct SparseProduct : torch::autograd::Function<SparseProduct> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& features,
                               const torch::Tensor& weight, const torch::Tensor& table, bool submanifold,
                               std::int64_t chunk_bytes) {
    context->save_for_backward({features, weight, table});
    context->saved_data["submanifold"] = submanifold;
    context->saved_data["chunk_bytes"] = chunk_bytes;
    const std::int64_t rows = rows_of_chunk(weight.size(0), features.element_size(), chunk_bytes);
    torch::Tensor out = features.new_empty({table.size(0), weight.size(1)});
    for_chunks(table.size(0), rows, [&](std::int64_t from, std::int64_t to) {
      torch::Tensor part = out.slice(0, from, to);
      at::mm_out(part, gather_rows(features, table.slice(0, from, to)), weight);
    });
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor& features = saved[0];
    const torch::Tensor& weight = saved[1];
    const torch::Tensor& table = saved[2];
    const torch::Tensor gradient = gradients[0].contiguous();
    const std::int64_t chunk_bytes = context->saved_data["chunk_bytes"].toInt();
    const bool to_features = context->needs_input_grad(0);
    const bool submanifold = context->saved_data["submanifold"].toBool();
    const std::int64_t channels = features.size(1);
    const std::int64_t offsets = table.size(1);

    torch::Tensor weight_gradient = torch::zeros_like(weight);
    torch::Tensor feature_gradient;
    if (to_features && !submanifold) {
      feature_gradient = features.new_zeros({features.size(0) + 1, channels});
    }
    for_chunks(table.size(0), rows_of_chunk(weight.size(0), features.element_size(), chunk_bytes),
               [&](std::int64_t from, std::int64_t to) {
                 const torch::Tensor part = gradient.slice(0, from, to);
                 const torch::Tensor sites = table.slice(0, from, to);
                 weight_gradient.addmm_(gather_rows(features, sites).t(), part);
                 if (feature_gradient.defined()) {
                   feature_gradient.index_add_(0, sites.flatten(), part.mm(weight.t()).view({-1, channels}));
                 }
               });
    if (feature_gradient.defined()) {
      feature_gradient = feature_gradient.slice(0, 0, features.size(0));
    } else if (to_features) {
      // Site i reads j at offset k where j reads i at the opposite offset: the transpose is a gather too.
      const torch::Tensor mirrored = table.flip({1});
      const torch::Tensor transposed =
          weight.view({offsets, channels, -1}).transpose(1, 2).reshape({offsets * weight.size(1), channels});
      feature_gradient = features.new_empty(features.sizes());
      for_chunks(mirrored.size(0), rows_of_chunk(transposed.size(0), features.element_size(), chunk_bytes),
                 [&](std::int64_t from, std::int64_t to) {
                   torch::Tensor part = feature_gradient.slice(0, from, to);
                   at::mm_out(part, gather_rows(gradient, mirrored.slice(0, from, to)), transposed);
                 });
    }
    return {feature_gradient, weight_gradient, torch::Tensor(), torch::Tensor(), torch::Tensor()};
  }

 private:
  static std::int64_t rows_of_chunk(std::int64_t width, std::size_t element, std::int64_t chunk_bytes) {
    return std::max<std::int64_t>(1, chunk_bytes / (width * static_cast<std::int64_t>(element)));
  }

  template <class Work>
  static void for_chunks(std::int64_t count, std::int64_t rows, Work work) {
    for (std::int64_t from = 0; from < count; from += rows) {
      work(from, std::min(count, from + rows));
    }
  }
};

}  // namespace

torch::Tensor sparse_convolution(const torch::Tensor& features, const torch::Tensor& weight, const Neighbours& neighbours,
                                 std::int64_t chunk_bytes) {
  return SparseProduct::apply(features, weight, neighbours.table, neighbours.submanifold, chunk_bytes);
}

SparseConvolutionImpl::SparseConvolutionImpl(std::int64_t in, std::int64_t out, const Extent& kernel) {
  const std::int64_t rows = kernel[0] * kernel[1] * kernel[2] * in;
  weight = register_parameter("weight", torch::empty({rows, out}));
  // Kaiming's bound for a ReLU behind it, by the number of inputs an output would read if all were active.
  const double bound = std::sqrt(6.0 / static_cast<double>(rows));
  torch::nn::init::uniform_(weight, -bound, bound);
}

torch::Tensor SparseConvolutionImpl::forward(const torch::Tensor& features, const Neighbours& neighbours) const {
  return sparse_convolution(features, weight, neighbours);
}

}  // namespace bevfusion
