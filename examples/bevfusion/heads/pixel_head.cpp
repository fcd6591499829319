// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/heads/pixel_head.hpp"

#include <algorithm>
#include <iterator>

#include <torch/torch.h>

namespace bevfusion {

PixelHeadImpl::PixelHeadImpl(const std::vector<ImageLevel>& levels, std::int64_t channels, std::int64_t classes) {
  if (levels.size() > 1) {
    std::vector<std::int64_t> in;
    std::transform(levels.begin(), levels.end(), std::back_inserter(in), [](const ImageLevel& level) { return level.channels; });
    neck_ = register_module("neck", Neck(in, channels));
  } else {
    block_ = register_module("block", ConvBlock(levels.at(0).channels, channels));
  }
  out_ = register_module("out", torch::nn::Conv2d(torch::nn::Conv2dOptions(channels, classes, 1)));
}

torch::Tensor PixelHeadImpl::forward(const std::vector<torch::Tensor>& maps) {
  const torch::Tensor decoded = neck_ ? neck_->forward(maps) : block_->forward(maps.at(0));
  return out_->forward(decoded).to(torch::kFloat);
}

}  // namespace bevfusion
