// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>

#include <torch/torch.h>

#include "bevfusion/model/model_config.hpp"

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

/// A whole number of config.numbers.
/// @throws std::invalid_argument for another number, or one below `least`
inline std::int64_t whole_number_of(const ModelConfig& config, const std::string& name, std::int64_t otherwise,
                                    std::int64_t least) {
  const double value = number_of(config, name, static_cast<double>(otherwise));
  if (!(value >= static_cast<double>(least) && value <= 1e6) || value != std::floor(value)) {
    throw std::invalid_argument("model.numbers: " + name + " is " + std::to_string(value) + "; a whole number of " +
                                std::to_string(least) + " or more is needed");
  }
  return static_cast<std::int64_t>(value);
}

}  // namespace bevfusion
