// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/camera/image_backbone.hpp"
#include "bevfusion/model/blocks.hpp"

namespace bevfusion {

/// Six convolutions, for the tiny model: 3 -> 16 s2, 24 s2, 32, 48 s2, 48, 48.
class ConvBackbone final : public ImageBackbone {
 public:
  ConvBackbone();
  torch::Tensor forward(const torch::Tensor& images) override;
  std::int64_t channels() const override;
  /// At strides 4 and 8.
  std::vector<ImageLevel> levels() const override;
  std::vector<torch::Tensor> forward_levels(const torch::Tensor& images) override;
  torch::Tensor last_weight() const override;

 private:
  torch::nn::Sequential layers_{nullptr};
};

}  // namespace bevfusion
