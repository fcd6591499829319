// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <torch/nn.h>

#include "bevfusion/camera/conv_norm.hpp"

namespace bevfusion {

/// Numbers of an inverted residual block.
struct MBConvOptions {
  std::int64_t in = 16;
  std::int64_t out = 16;
  std::int64_t widening = 6;  ///< channels of its inside over those in front of it
  std::int64_t kernel = 3;
  std::int64_t stride = 1;
  double drop_path = 0;  ///< chance that a sample passes it by in training, where it has a residual
};

/// Squeeze and excitation (Hu et al., CVPR 2018): each channel is multiplied by what two layers make of all channels' means.
class SqueezeExcitationImpl : public torch::nn::Module {
 public:
  SqueezeExcitationImpl(std::int64_t channels, std::int64_t squeezed);
  torch::Tensor forward(const torch::Tensor& map);

 private:
  torch::nn::Conv2d squeeze_{nullptr}, excite_{nullptr};
};
TORCH_MODULE(SqueezeExcitation);

/// An inverted residual block (MobileNetV2's): 1 x 1 to more channels, a convolution of each channel alone, squeeze and
/// excitation to a quarter of the channels in front of the block, 1 x 1 to `out`. It has a residual where its map is as large as
/// the one before.
class MBConvImpl : public torch::nn::Module {
 public:
  explicit MBConvImpl(const MBConvOptions& options);
  torch::Tensor forward(const torch::Tensor& map);

 private:
  MBConvOptions options_;
  ConvNorm widen_{nullptr};  ///< null where nothing is widened
  ConvNorm depthwise_{nullptr}, project_{nullptr};
  SqueezeExcitation attend_{nullptr};
};
TORCH_MODULE(MBConv);

/// EfficientNet-B0 (Tan and Le, ICML 2019) as torchvision's `efficientnet_b0` has it, without pooling and classifier: images in,
/// the maps of stages 3 and 5 and of the last convolution out (strides 8, 16 and 32).
class EfficientNetB0Impl : public torch::nn::Module {
 public:
  static constexpr std::array<std::int64_t, 4> channels{24, 40, 112, 1280};  ///< of the maps at strides 4, 8, 16 and 32
  static constexpr double torchvision_drop_path = 0.2;

  /// The blocks of the seven stages.
  /// @param drop_path  of a block after the last; rises linearly from 0
  static std::vector<std::vector<MBConvOptions>> stages(double drop_path = torchvision_drop_path);

  explicit EfficientNetB0Impl(double drop_path = torchvision_drop_path);

  /// @param images  [B, 3, H, W]
  /// @return [B, 40, H/8, W/8], [B, 112, H/16, W/16], [B, 1280, H/32, W/32], sides rounded up
  /// @param first  where given, becomes the second stage's map [B, 24, H/4, W/4]
  std::vector<torch::Tensor> forward(const torch::Tensor& images, torch::Tensor* first = nullptr);

 private:
  ConvNorm stem_{nullptr}, last_{nullptr};
  std::vector<std::vector<MBConv>> stages_;
};
TORCH_MODULE(EfficientNetB0);

}  // namespace bevfusion
