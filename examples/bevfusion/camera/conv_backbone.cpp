// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/camera/conv_backbone.hpp"

#include <memory>

#include <torch/torch.h>

#include "bevfusion/model/kinds.hpp"

namespace bevfusion {
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

void register_conv_backbone(Kinds& kinds) {
  kinds.image_backbones.add("conv", [](const ModelConfig&) { return std::make_shared<ConvBackbone>(); });
}

}  // namespace bevfusion
