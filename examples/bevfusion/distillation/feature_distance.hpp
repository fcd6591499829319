// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>

#include <torch/torch.h>

namespace bevfusion {

/// How far maps [B, C, X, Y] are from an expert's, whatever their lengths. No gradient goes into the expert.
/// @param kind  `cosine`: the mean over the cells of 1 - cos of the cells' channels, each cell alike; `l2`: the mean over the
///              samples of the squared distance of the whole maps, each brought to length 1, so that cells count by what is in
///              them
inline torch::Tensor feature_distance(const torch::Tensor& map, const torch::Tensor& expert, const std::string& kind) {
  const torch::Tensor known = expert.detach();
  if (kind == "cosine") {
    return 1 - torch::cosine_similarity(map, known, 1, 1e-8).mean();
  }
  if (kind != "l2") {
    throw std::invalid_argument("distillation.feature_distance is '" + kind + "'; it may be cosine, l2");
  }
  const auto whole = [](const torch::Tensor& of) {
    const torch::Tensor flat = of.flatten(1);
    return flat / flat.norm(2, 1, true).clamp_min(1e-8);
  };
  return (whole(map) - whole(known)).square().sum(1).mean();
}

/// What distillation counts in an epoch, from 0: 1, or the ramp of DMFuser's repository, sqrt(0.2 epoch + 0.04), which starts at
/// 0.2 and is above 1 from epoch 5 on.
inline double distillation_ramp(const std::string& kind, std::int64_t epoch) {
  return kind == "sqrt" ? std::sqrt(0.2 * static_cast<double>(epoch) + 0.04) : 1.0;
}

}  // namespace bevfusion
