// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/camera/conv_backbone.hpp"

#include <memory>

#include <torch/torch.h>

#include "bevfusion/model/kinds.hpp"

namespace bevfusion {
namespace {
constexpr std::int64_t conv_backbone_channels = 48;
constexpr std::int64_t channels_at_stride_4 = 32;
constexpr std::size_t blocks_to_stride_4 = 3;
}  // namespace

ConvBackbone::ConvBackbone() {
  const auto stride_2 = [] {
    ConvOptions options;
    options.stride = 2;
    return options;
  };
  layers_ = register_module("layers", torch::nn::Sequential(ConvBlock(3, 16, stride_2()), ConvBlock(16, 24, stride_2()),
                                                            ConvBlock(24, channels_at_stride_4),
                                                            ConvBlock(channels_at_stride_4, conv_backbone_channels, stride_2()),
                                                            ConvBlock(conv_backbone_channels, conv_backbone_channels),
                                                            ConvBlock(conv_backbone_channels, conv_backbone_channels)));
}

torch::Tensor ConvBackbone::forward(const torch::Tensor& images) { return layers_->forward(images); }

std::vector<ImageLevel> ConvBackbone::levels() const { return {{channels_at_stride_4, 4}, {conv_backbone_channels, 8}}; }

std::vector<torch::Tensor> ConvBackbone::forward_levels(const torch::Tensor& images) {
  torch::Tensor map = images;
  torch::Tensor at_stride_4;
  for (std::size_t block = 0; block < layers_->size(); ++block) {
    map = layers_->at<ConvBlockImpl>(block).forward(map);
    if (block + 1 == blocks_to_stride_4) {
      at_stride_4 = map;
    }
  }
  return {at_stride_4, map};
}

torch::Tensor ConvBackbone::last_weight() const { return layers_->at<ConvBlockImpl>(layers_->size() - 1).weight(); }

std::int64_t ConvBackbone::channels() const { return conv_backbone_channels; }

void register_conv_backbone(Kinds& kinds) {
  kinds.image_backbones.add("conv", [](const ModelConfig&) { return std::make_shared<ConvBackbone>(); });
}

}  // namespace bevfusion
