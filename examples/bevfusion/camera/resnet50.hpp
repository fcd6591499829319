// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <torch/nn.h>

#include "bevfusion/camera/conv_norm.hpp"

namespace bevfusion {

/// Three convolutions beside a residual: 1 x 1 to `width` channels, 3 x 3, which halves the map where it is to be halved
/// (torchvision's "V1.5"), 1 x 1 to four times as many.
class BottleneckImpl : public torch::nn::Module {
 public:
  static constexpr std::int64_t widening = 4;

  BottleneckImpl(std::int64_t in, std::int64_t width, std::int64_t stride);
  torch::Tensor forward(const torch::Tensor& map);

 private:
  ConvNorm narrow_{nullptr}, middle_{nullptr}, widen_{nullptr};
  ConvNorm shortcut_{nullptr};  ///< null where the residual is the map itself
};
TORCH_MODULE(Bottleneck);

/// ResNet-50 (He et al., CVPR 2016) as torchvision's `resnet50` has it, without pooling and classifier: images in, the maps of
/// stages 2, 3 and 4 out (strides 8, 16 and 32).
class ResNet50Impl : public torch::nn::Module {
 public:
  static constexpr std::array<std::int64_t, 4> channels{256, 512, 1024, 2048};  ///< of the stages

  ResNet50Impl();

  /// @param images  [B, 3, H, W]
  /// @return [B, 512, H/8, W/8], [B, 1024, H/16, W/16], [B, 2048, H/32, W/32], sides rounded up
  /// @param first  where given, becomes the first stage's map [B, 256, H/4, W/4]
  std::vector<torch::Tensor> forward(const torch::Tensor& images, torch::Tensor* first = nullptr);

 private:
  ConvNorm stem_{nullptr};
  std::vector<std::vector<Bottleneck>> stages_;
};
TORCH_MODULE(ResNet50);

}  // namespace bevfusion
