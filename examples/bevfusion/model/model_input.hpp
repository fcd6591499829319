// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include <torch/types.h>

#include "bevfusion/camera/lift_splat.hpp"

namespace bevfusion {

/// What a batch of samples shows to the model.
struct ModelInput {
  std::vector<torch::Tensor> clouds;  ///< B point clouds [N_b, 5]: x, y, z, intensity, seconds; empty without LiDAR
  torch::Tensor images;               ///< [B, cameras, 3, H, W], normalised; undefined without cameras
  CameraGeometry geometry;
};

}  // namespace bevfusion
