// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/sparse/sparse_convolution.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/sparse/pair_products.hpp"

namespace bevfusion {
namespace {

/// Products of gathered rows, in chunks of rows whose gathered copy stays under a number of bytes: larger ones leave the caches
/// between the gather and the product.
class GatheredRows {
 public:
  GatheredRows(const torch::Tensor& source, const torch::Tensor& table, std::int64_t chunk_bytes)
      : table_(table), padded_(torch::cat({source, source.new_zeros({1, source.size(1)})})) {
    const std::int64_t width = table.size(1) * source.size(1);
    rows_ = std::max<std::int64_t>(1, chunk_bytes / (width * static_cast<std::int64_t>(source.element_size())));
    buffer_ = source.new_empty({std::min(rows_, table.size(0)) * table.size(1), source.size(1)});
  }

  /// work(gathered, from, to) for every chunk: the rows of `source` [N, C] that rows from .. to of `table` [M, K] name, one
  /// after the other, [to - from, K C]; the index N names a row of zeros.
  template <class Work>
  void for_each_chunk(Work work) {
    for (std::int64_t from = 0; from < table_.size(0); from += rows_) {
      const std::int64_t to = std::min(table_.size(0), from + rows_);
      torch::Tensor gathered = buffer_.slice(0, 0, (to - from) * table_.size(1));
      at::index_select_out(gathered, padded_, 0, table_.slice(0, from, to).flatten());
      work(gathered.view({to - from, -1}), from, to);
    }
  }

 private:
  torch::Tensor table_;
  torch::Tensor padded_;
  torch::Tensor buffer_;
  std::int64_t rows_ = 1;
};

/// [M, C_out] = gathered [M, K C_in] x weight [K C_in, C_out]
torch::Tensor gathered_product(const torch::Tensor& source, const torch::Tensor& table, const torch::Tensor& weight,
                               std::int64_t chunk_bytes) {
  torch::Tensor out = source.new_empty({table.size(0), weight.size(1)});
  GatheredRows(source, table, chunk_bytes).for_each_chunk([&](const torch::Tensor& gathered, std::int64_t from, std::int64_t to) {
    torch::Tensor part = out.slice(0, from, to);
    at::mm_out(part, gathered, weight);
  });
  return out;
}

/// Who reads an input site: [N, K], the output site that reads it at each offset, M where none does. At one offset no two outputs
/// read the same input.
torch::Tensor transposed(const torch::Tensor& table, std::int64_t inputs) {
  const std::int64_t outputs = table.size(0);
  const torch::Tensor site = torch::arange(outputs, table.options()).unsqueeze(1).expand_as(table);
  torch::Tensor readers = torch::full({inputs + 1, table.size(1)}, outputs, table.options());
  return readers.scatter_(0, table, site).slice(0, 0, inputs);  // the row after the last takes what is read nowhere
}

/// [K C_in, C_out] as [K, C_in, C_out].
torch::Tensor by_offset(const torch::Tensor& weight, std::int64_t offsets) {
  return weight.view({offsets, weight.size(0) / offsets, weight.size(1)});
}

/// The product of all offsets at once.
struct GatheredProduct : torch::autograd::Function<GatheredProduct> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& features,
                               const torch::Tensor& weight, const torch::Tensor& table, std::int64_t chunk_bytes) {
    context->save_for_backward({features, weight, table});
    context->saved_data["chunk_bytes"] = chunk_bytes;
    return gathered_product(features, table, weight, chunk_bytes);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor& features = saved[0];
    const torch::Tensor& weight = saved[1];
    const torch::Tensor& table = saved[2];
    const torch::Tensor gradient = gradients[0].contiguous();
    const std::int64_t chunk_bytes = context->saved_data["chunk_bytes"].toInt();

    torch::Tensor weight_gradient = torch::zeros_like(weight);
    GatheredRows(features, table, chunk_bytes)
        .for_each_chunk([&](const torch::Tensor& gathered, std::int64_t from, std::int64_t to) {
          weight_gradient.addmm_(gathered.t(), gradient.slice(0, from, to));
        });
    torch::Tensor feature_gradient;
    if (context->needs_input_grad(0)) {
      const torch::Tensor turned = by_offset(weight, table.size(1)).transpose(1, 2).reshape({-1, features.size(1)});
      feature_gradient = gathered_product(gradient, transposed(table, features.size(0)), turned, chunk_bytes);
    }
    return {feature_gradient, weight_gradient, torch::Tensor(), torch::Tensor()};
  }
};

/// A product for each offset, of the pairs that are there.
struct PairProduct : torch::autograd::Function<PairProduct> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& features,
                               const torch::Tensor& weight, const torch::Tensor& inputs, const torch::Tensor& outputs,
                               const std::vector<std::int64_t>& counts, std::int64_t sites, std::int64_t chunk_bytes) {
    context->save_for_backward({features, weight, inputs, outputs});
    context->saved_data["counts"] = counts;
    context->saved_data["chunk_bytes"] = chunk_bytes;
    const auto offsets = static_cast<std::int64_t>(counts.size());
    return pair_product(features, inputs, outputs, counts, by_offset(weight, offsets), sites, chunk_bytes);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor& features = saved[0];
    const torch::Tensor& weight = saved[1];
    const torch::Tensor& inputs = saved[2];
    const torch::Tensor& outputs = saved[3];
    const torch::Tensor gradient = gradients[0].contiguous();
    const std::vector<std::int64_t> counts = context->saved_data["counts"].toIntVector();
    const std::int64_t chunk_bytes = context->saved_data["chunk_bytes"].toInt();

    const torch::Tensor weight_gradient =
        pair_weight_gradient(features, inputs, gradient, outputs, counts, chunk_bytes).view_as(weight);
    torch::Tensor feature_gradient;
    if (context->needs_input_grad(0)) {
      const torch::Tensor turned = by_offset(weight, static_cast<std::int64_t>(counts.size())).transpose(1, 2);
      feature_gradient = pair_product(gradient, outputs, inputs, counts, turned, features.size(0), chunk_bytes);
    }
    return {feature_gradient, weight_gradient, {}, {}, {}, {}, {}};
  }
};

}  // namespace

torch::Tensor sparse_convolution(const torch::Tensor& features, const torch::Tensor& weight, const Neighbours& neighbours,
                                 std::int64_t chunk_bytes) {
  const SitePairs& pairs = neighbours.pairs;
  const bool by_pairs =
      pairs.inputs.defined() && (features.scalar_type() == torch::kFloat || features.scalar_type() == torch::kDouble);
  if (by_pairs) {
    return PairProduct::apply(features, weight, pairs.inputs, pairs.outputs, pairs.counts, neighbours.keys.size(0), chunk_bytes);
  }
  return GatheredProduct::apply(features, weight, neighbours.table, chunk_bytes);
}

SparseConvolutionImpl::SparseConvolutionImpl(std::int64_t in, std::int64_t out, const Extent& kernel) {
  const std::int64_t rows = kernel[0] * kernel[1] * kernel[2] * in;
  weight = register_parameter("weight", torch::empty({rows, out}));
  // Kaiming's bound for a ReLU after it, by the number of inputs an output would read if all were active.
  const double bound = std::sqrt(6.0 / static_cast<double>(rows));
  torch::nn::init::uniform_(weight, -bound, bound);
}

torch::Tensor SparseConvolutionImpl::forward(const torch::Tensor& features, const Neighbours& neighbours) const {
  return sparse_convolution(features, weight, neighbours);
}

}  // namespace bevfusion
