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

 private:
  std::int64_t channels_;
  Swin swin_{nullptr};
  Neck neck_{nullptr};
};

}  // namespace bevfusion
