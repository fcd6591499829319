// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace bevfusion {

/// Sums depth-weighted pixel features into the cells of a grid: out[cell[r]] += depth[r] * context[pixel[r]].
///
/// The products, rows of a frustum by channels, never stand in memory as a whole, neither forward nor backward: they are formed
/// in chunks. Gradients for depth and context. Deterministic on CPU; on CUDA the order of additions is not fixed.
/// @param depth    [R] floating point, one number per row
/// @param context  [P, C], the pixels' features
/// @param pixel    [R] int64, which pixel a row belongs to
/// @param cell     [R] int64, which of `cells` it falls into
/// @return [cells, C]
torch::Tensor splat(const torch::Tensor& depth, const torch::Tensor& context, const torch::Tensor& pixel,
                    const torch::Tensor& cell, std::int64_t cells, std::int64_t chunk_rows = 1 << 17);

}  // namespace bevfusion
