// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include <torch/types.h>

#include "bevfusion/camera/lift_splat.hpp"

namespace bevfusion {

/// What a batch of samples shows to the model.
struct ModelInput {
  std::vector<torch::Tensor> clouds;  ///< B point clouds [N_b, 5]: x, y, z, intensity, seconds; empty without LiDAR
  torch::Tensor images;               ///< [B, cameras, 3, H, W], normalised; undefined without cameras
  CameraGeometry geometry;
  std::map<std::string, torch::Tensor> measured;  ///< [B, n] by task: what the car tells its head; see Task::measured()

  /// What the head of a task is told, undefined where it is told nothing.
  torch::Tensor measured_for(const std::string& task) const {
    const auto found = measured.find(task);
    return found == measured.end() ? torch::Tensor() : found->second;
  }
};

}  // namespace bevfusion
