// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <torch/nn.h>

namespace bevfusion {

/// What turns images into one map at stride 8. A backbone of another kind is another class of this kind, made by name.
class ImageBackbone : public torch::nn::Module {
 public:
  /// @param images  [B, 3, H, W], normalised; H and W multiples of 8, or of what Kinds::picture_multiples says
  /// @return [B, channels(), H/8, W/8]
  virtual torch::Tensor forward(const torch::Tensor& images) = 0;
  virtual std::int64_t channels() const = 0;
};

}  // namespace bevfusion
