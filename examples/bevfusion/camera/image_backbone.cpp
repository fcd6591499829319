// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/camera/image_backbone.hpp"

#include <torch/torch.h>

namespace bevfusion {

SwinBackbone::SwinBackbone(const SwinOptions& options, std::int64_t out) : channels_(out) {
  const std::int64_t width = options.embedding;
  swin_ = register_module("swin", Swin(options));
  neck_ = register_module("neck", Neck(std::vector<std::int64_t>{2 * width, 4 * width, 8 * width}, out));
}

torch::Tensor SwinBackbone::forward(const torch::Tensor& images) { return neck_->forward(swin_->forward(images)); }

namespace {
constexpr std::int64_t conv_backbone_channels = 48;
}

ConvBackbone::ConvBackbone() {
  const auto stride_2 = [] {
    ConvOptions options;
    options.stride = 2;
    return options;
  };
  layers_ = register_module("layers", torch::nn::Sequential(ConvBlock(3, 16, stride_2()), ConvBlock(16, 24, stride_2()),
                                                            ConvBlock(24, 32), ConvBlock(32, conv_backbone_channels, stride_2()),
                                                            ConvBlock(conv_backbone_channels, conv_backbone_channels),
                                                            ConvBlock(conv_backbone_channels, conv_backbone_channels)));
}

torch::Tensor ConvBackbone::forward(const torch::Tensor& images) { return layers_->forward(images); }

std::int64_t ConvBackbone::channels() const { return conv_backbone_channels; }

}  // namespace bevfusion
