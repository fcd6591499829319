// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <torch/torch.h>

namespace bevfusion {

/// Means of a map [B, C, X, Y] over side x side windows: what attention takes for tokens, as there are too many cells.
inline torch::Tensor pooled(const torch::Tensor& map, std::int64_t side) {
  return map.size(2) == side && map.size(3) == side ? map : torch::adaptive_avg_pool2d(map, {side, side});
}

/// Tokens [B, C, side, side] as a map of the size of another, bilinearly.
inline torch::Tensor spread(const torch::Tensor& tokens, const torch::Tensor& like) {
  return tokens.size(2) == like.size(2) && tokens.size(3) == like.size(3)
             ? tokens
             : torch::upsample_bilinear2d(tokens, {like.size(2), like.size(3)}, /*align_corners=*/false);
}

}  // namespace bevfusion
