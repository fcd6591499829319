// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include <torch/types.h>

namespace bevfusion {

/// What the tasks of a network share: the map that most of them read, and, where one of them looks at pictures
/// (tasks/picture_task.hpp), the camera branch's maps from upstream of lift and splat.
struct SharedFeatures {
  torch::Tensor bev;                    ///< [B, C, X, Y]
  std::vector<torch::Tensor> pictures;  ///< [B, cameras, C, H / stride, W / stride] each, from fine to coarse; may be none

  SharedFeatures() = default;
  /// Of a network whose tasks read the map alone.
  SharedFeatures(torch::Tensor map, std::vector<torch::Tensor> levels = {})  // NOLINT: a map is that much
      : bev(std::move(map)), pictures(std::move(levels)) {}

  /// All of them as a fork takes them.
  std::vector<torch::Tensor> levels() const {
    std::vector<torch::Tensor> all;
    if (bev.defined()) {
      all.push_back(bev);
    }
    all.insert(all.end(), pictures.begin(), pictures.end());
    return all;
  }
};

}  // namespace bevfusion
