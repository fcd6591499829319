// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/camera/image_backbone.hpp"
#include "bevfusion/camera/neck.hpp"
#include "bevfusion/camera/swin.hpp"

namespace bevfusion {

/// Swin transformer with LSS's neck.
class SwinBackbone final : public ImageBackbone {
 public:
  SwinBackbone(const SwinOptions& options, std::int64_t out);
  torch::Tensor forward(const torch::Tensor& images) override;
  std::int64_t channels() const override { return channels_; }
  /// The first stage's map at stride 4, and the neck's at stride 8, which joins those of the others.
  std::vector<ImageLevel> levels() const override { return {{embedding_, 4}, {channels_, 8}}; }
  std::vector<torch::Tensor> forward_levels(const torch::Tensor& images) override;
  torch::Tensor last_weight() const override { return neck_->last_weight(); }

 private:
  std::int64_t channels_;
  std::int64_t embedding_;
  Swin swin_{nullptr};
  Neck neck_{nullptr};
};

}  // namespace bevfusion
