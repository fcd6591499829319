// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/model/missing_input.hpp"

#include <stdexcept>

#include <torch/torch.h>

#include "bevfusion/model/batch.hpp"

namespace bevfusion {

ModelInput without_input(ModelInput input, const std::string& modality) {
  if (modality == "lidar") {
    for (torch::Tensor& cloud : input.clouds) {
      cloud = cloud.slice(0, 0, 0);
    }
  } else if (modality == "camera") {
    input.images = input.images.clone();
    for (std::int64_t channel = 0; channel < 3; ++channel) {
      const auto c = static_cast<std::size_t>(channel);
      input.images.select(-3, channel).fill_(-image_mean[c] / image_deviation[c]);
    }
  } else {
    throw std::invalid_argument("the network has no modality branch '" + modality + "' to leave out");
  }
  return input;
}

ModelInput without_camera(ModelInput input, std::size_t camera) {
  const auto slot = static_cast<std::int64_t>(camera);
  if (!input.images.defined() || slot >= input.images.size(1)) {
    throw std::invalid_argument("the samples have no camera " + std::to_string(camera) + " to leave out");
  }
  input.images = input.images.clone();
  input.images.select(1, slot).zero_();
  torch::Tensor& poses = input.geometry.camera_to_lidar;
  poses = poses.clone();
  poses.select(1, slot).copy_(torch::from_blob(nowhere().data(), {4, 4}, torch::kDouble).t());
  return input;
}

}  // namespace bevfusion
