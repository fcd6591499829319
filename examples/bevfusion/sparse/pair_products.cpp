// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/sparse/pair_products.hpp"

#include <algorithm>
#include <cstddef>

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <torch/torch.h>

namespace bevfusion {
namespace {

/// sum[row[r]] += values[r]; no row comes twice.
template <class Number>
void add_rows(const torch::Tensor& sum, const torch::Tensor& row, const torch::Tensor& values) {
  const std::int64_t width = sum.size(1);
  Number* const to = sum.data_ptr<Number>();
  const Number* const from = values.data_ptr<Number>();
  const std::int64_t* const rows = row.data_ptr<std::int64_t>();
  const std::int64_t grain = std::max<std::int64_t>(1, 32768 / std::max<std::int64_t>(1, width));
  at::parallel_for(0, row.size(0), grain, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      Number* const at = to + rows[r] * width;
      const Number* const added = from + r * width;
      for (std::int64_t c = 0; c < width; ++c) {
        at[c] += added[c];
      }
    }
  });
}

/// Two buffers of rows, one of each side of the pairs, that together stay under a number of bytes.
struct Buffers {
  Buffers(const torch::Tensor& like, const std::vector<std::int64_t>& counts, std::int64_t in, std::int64_t out,
          std::int64_t chunk_bytes) {
    const auto row_bytes = (in + out) * static_cast<std::int64_t>(like.element_size());
    const std::int64_t most = counts.empty() ? 0 : *std::max_element(counts.begin(), counts.end());
    rows = std::max<std::int64_t>(1, std::min(most, chunk_bytes / row_bytes));
    left = like.new_empty({rows, in});
    right = like.new_empty({rows, out});
  }

  /// work(offset, pairs, left, right) for stretches of pairs of one offset: [begin, end) as a slice of a list of all pairs.
  template <class Work>
  void for_stretches(const std::vector<std::int64_t>& counts, Work work) {
    std::int64_t first = 0;
    for (std::size_t offset = 0; offset < counts.size(); ++offset) {
      const std::int64_t last = first + counts[offset];
      for (std::int64_t begin = first; begin < last; begin += rows) {
        const std::int64_t end = std::min(last, begin + rows);
        torch::Tensor of_left = left.slice(0, 0, end - begin);
        torch::Tensor of_right = right.slice(0, 0, end - begin);
        work(
            offset, [&](const torch::Tensor& list) { return list.slice(0, begin, end); }, of_left, of_right);
      }
      first = last;
    }
  }

  std::int64_t rows = 1;
  torch::Tensor left;
  torch::Tensor right;
};

}  // namespace

torch::Tensor pair_product(const torch::Tensor& source, const torch::Tensor& from, const torch::Tensor& to,
                           const std::vector<std::int64_t>& counts, const torch::Tensor& weights, std::int64_t sites,
                           std::int64_t chunk_bytes) {
  torch::Tensor sum = source.new_zeros({sites, weights.size(2)});
  const std::vector<torch::Tensor> of_offset = weights.unbind(0);
  Buffers buffers(source, counts, source.size(1), weights.size(2), chunk_bytes);
  AT_DISPATCH_FLOATING_TYPES(source.scalar_type(), "pair_product", [&] {
    buffers.for_stretches(counts, [&](std::size_t offset, const auto& stretch, torch::Tensor& read, torch::Tensor& product) {
      at::index_select_out(read, source, 0, stretch(from));
      at::mm_out(product, read, of_offset[offset]);
      add_rows<scalar_t>(sum, stretch(to), product);
    });
  });
  return sum;
}

torch::Tensor pair_weight_gradient(const torch::Tensor& source, const torch::Tensor& from, const torch::Tensor& gradient,
                                   const torch::Tensor& to, const std::vector<std::int64_t>& counts, std::int64_t chunk_bytes) {
  torch::Tensor sum = source.new_zeros({static_cast<std::int64_t>(counts.size()), source.size(1), gradient.size(1)});
  std::vector<torch::Tensor> of_offset = sum.unbind(0);
  Buffers buffers(source, counts, source.size(1), gradient.size(1), chunk_bytes);
  buffers.for_stretches(counts, [&](std::size_t offset, const auto& stretch, torch::Tensor& read, torch::Tensor& arriving) {
    at::index_select_out(read, source, 0, stretch(from));
    at::index_select_out(arriving, gradient, 0, stretch(to));
    of_offset[offset].addmm_(read.t(), arriving);
  });
  return sum;
}

}  // namespace bevfusion
