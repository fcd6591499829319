// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include <torch/types.h>

namespace bevfusion {

/// Sums of products of rows, one product for each pair of sites: sum[to[p]] += source[from[p]] W_k, offset after offset.
///
/// Only what is there is multiplied, where a gathered product of all offsets multiplies zeros for every neighbour that is not: in
/// sparse grids most of them. Single and double precision on the CPU. Deterministic.
/// @param source   [N, C_in]
/// @param from,to  [P] int64, the pairs of offset 0, of offset 1, ...; at one offset `to` has no number twice
/// @param counts   pairs of each offset; their sum is P
/// @param weights  [K, C_in, C_out]
/// @return [sites, C_out]
torch::Tensor pair_product(const torch::Tensor& source, const torch::Tensor& from, const torch::Tensor& to,
                           const std::vector<std::int64_t>& counts, const torch::Tensor& weights, std::int64_t sites,
                           std::int64_t chunk_bytes);

/// The gradient of those weights: of offset k the sum of source[from[p]]^T gradient[to[p]] over its pairs. [K, C_in, C_out]
torch::Tensor pair_weight_gradient(const torch::Tensor& source, const torch::Tensor& from, const torch::Tensor& gradient,
                                   const torch::Tensor& to, const std::vector<std::int64_t>& counts, std::int64_t chunk_bytes);

}  // namespace bevfusion
