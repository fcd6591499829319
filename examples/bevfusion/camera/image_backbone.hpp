// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "bevfusion/camera/neck.hpp"
#include "bevfusion/camera/swin.hpp"
#include "bevfusion/model/blocks.hpp"

namespace bevfusion {

/// What turns images into one map at stride 8. A backbone of another kind is another class of this kind.
class ImageBackbone : public torch::nn::Module {
 public:
  /// @param images  [B, 3, H, W], normalised; H and W multiples of 32
  /// @return [B, channels(), H/8, W/8]
  virtual torch::Tensor forward(const torch::Tensor& images) = 0;
  virtual std::int64_t channels() const = 0;
};

/// Swin transformer with LSS's neck.
class SwinBackbone final : public ImageBackbone {
 public:
  SwinBackbone(const SwinOptions& options, std::int64_t out);
  torch::Tensor forward(const torch::Tensor& images) override;
  std::int64_t channels() const override { return channels_; }

 private:
  std::int64_t channels_;
  Swin swin_{nullptr};
  Neck neck_{nullptr};
};

/// Six convolutions, for the tiny model: 3 -> 16 s2, 24 s2, 32, 48 s2, 48, 48.
class ConvBackbone final : public ImageBackbone {
 public:
  ConvBackbone();
  torch::Tensor forward(const torch::Tensor& images) override;
  std::int64_t channels() const override;

 private:
  torch::nn::Sequential layers_{nullptr};
};

}  // namespace bevfusion
