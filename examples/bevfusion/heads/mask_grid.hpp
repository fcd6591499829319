// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <torch/types.h>

namespace bevfusion {

/// Where a mask lies: a square of `cells` x `cells` cells over [-range, range) metres.
struct MaskGrid {
  double range = 50;
  std::int64_t cells = 200;
};

/// A map [B, C, X, Y] over [-from, from) metres, resampled bilinearly to the cells of `grid`.
torch::Tensor resample(const torch::Tensor& map, double from, const MaskGrid& grid);

/// Rows [first, last) of what resample() gives, along X, and zeros for rows that the mask has not; equal up to rounding, in less
/// time. Without gradients.
torch::Tensor resample_rows(const torch::Tensor& map, double from, const MaskGrid& grid, std::int64_t first, std::int64_t last);

}  // namespace bevfusion
