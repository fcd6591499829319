// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/model/bev_fusion.hpp"

namespace bevfusion::testing {

/// Six cameras in a ring and a random cloud: enough for shapes and gradients.
inline ModelInput random_input(const ModelConfig& config, std::int64_t batch) {
  ModelInput input;
  for (std::int64_t b = 0; b < batch; ++b) {
    torch::Tensor cloud = torch::rand({800, 5});
    cloud.slice(1, 0, 2).mul_(2 * config.bev_range).sub_(config.bev_range);
    cloud.select(1, 2).mul_(3).sub_(2.5);
    input.clouds.push_back(cloud);
  }
  input.images = torch::randn({batch, 6, 3, config.lift_splat.image_height, config.lift_splat.image_width});
  const auto options = torch::TensorOptions(torch::kDouble);
  const double focal = static_cast<double>(config.lift_splat.image_width) * 0.8;
  const torch::Tensor intrinsics = torch::tensor({focal, 0.0, static_cast<double>(config.lift_splat.image_width) / 2, 0.0, focal,
                                                  static_cast<double>(config.lift_splat.image_height) / 2, 0.0, 0.0, 1.0},
                                                 options)
                                       .view({3, 3});
  input.geometry.intrinsics = intrinsics.expand({batch, 6, 3, 3}).contiguous();
  input.geometry.image_augmentation = torch::eye(4, options).expand({batch, 6, 4, 4}).contiguous();
  input.geometry.lidar_augmentation = torch::eye(4, options).expand({batch, 4, 4}).contiguous();
  std::vector<torch::Tensor> poses;
  for (int camera = 0; camera < 6; ++camera) {
    const double turn = camera * std::acos(-1.0) / 3;
    const double c = std::cos(turn);
    const double s = std::sin(turn);
    poses.push_back(
        torch::tensor({c, 0.0, -s, 0.0, s, 0.0, c, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0}, options).view({4, 4}));
  }
  input.geometry.camera_to_lidar = torch::stack(poses).unsqueeze(0).expand({batch, 6, 4, 4}).contiguous();
  return input;
}

}  // namespace bevfusion::testing
