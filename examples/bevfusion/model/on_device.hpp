// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/model/bev_fusion.hpp"

namespace bevfusion {

/// The same input on another device. Tensors that are there already are shared, not copied.
inline ModelInput on_device(ModelInput input, const torch::Device& device) {
  const auto move = [&](torch::Tensor& tensor) {
    if (tensor.defined()) {
      tensor = tensor.to(device);
    }
  };
  for (torch::Tensor& cloud : input.clouds) {
    move(cloud);
  }
  move(input.images);
  for (torch::Tensor* matrices : {&input.geometry.intrinsics, &input.geometry.camera_to_lidar, &input.geometry.image_augmentation,
                                  &input.geometry.lidar_augmentation}) {
    move(*matrices);
  }
  for (auto& of_task : input.measured) {
    move(of_task.second);
  }
  return input;
}

}  // namespace bevfusion
