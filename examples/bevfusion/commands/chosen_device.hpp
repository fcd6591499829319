// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>

#include <torch/torch.h>

#include "bevfusion/config/run_config.hpp"

namespace bevfusion {

/// The device of that name, which LibTorch can use.
/// @param field  what names it, for errors
/// @throws std::invalid_argument where it is no name, or of a GPU that is not there
inline torch::Device chosen_device(const std::string& field, const std::string& name) {
  if (!is_device_name(name)) {
    throw std::invalid_argument(field + " is '" + name + "'; it may be cpu, cuda, or cuda: with a number");
  }
  const torch::Device device(name);
  if (device.is_cuda()) {
    const auto count = static_cast<int>(torch::cuda::is_available() ? torch::cuda::device_count() : 0);
    if (count == 0) {
      throw std::invalid_argument(field + " is " + name +
                                  ", and this LibTorch sees no GPU (it may be built without CUDA); there is cpu");
    }
    if (device.has_index() && device.index() >= count) {
      throw std::invalid_argument(field + " is " + name + "; the last one is cuda:" + std::to_string(count - 1));
    }
  }
  return device;
}

}  // namespace bevfusion
