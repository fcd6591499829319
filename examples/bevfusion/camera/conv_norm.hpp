// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <torch/nn.h>

#include "bevfusion/model/batch_norm.hpp"

namespace bevfusion {

/// A convolution without bias, and batch normalisation: what every layer of torchvision's ResNets and EfficientNets begins with.
class ConvNormImpl : public torch::nn::Module {
 public:
  /// @param kernel  odd; its half is padded
  /// @param groups  that the channels are parted into
  ConvNormImpl(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride = 1, std::int64_t groups = 1);
  torch::Tensor forward(const torch::Tensor& map);

 private:
  torch::nn::Conv2d conv_{nullptr};
  BatchNorm norm_{nullptr};
};
TORCH_MODULE(ConvNorm);

}  // namespace bevfusion
