// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/camera/resnet50.hpp"

#include <string>

#include <torch/torch.h>

namespace bevfusion {
namespace {
constexpr std::int64_t resnet50_stem = 64;
constexpr std::array<int, 4> resnet50_depths{3, 4, 6, 3};
}  // namespace

BottleneckImpl::BottleneckImpl(std::int64_t in, std::int64_t width, std::int64_t stride) {
  const std::int64_t out = widening * width;
  narrow_ = register_module("narrow", ConvNorm(in, width, 1));
  middle_ = register_module("middle", ConvNorm(width, width, 3, stride));
  widen_ = register_module("widen", ConvNorm(width, out, 1));
  if (stride != 1 || in != out) {
    shortcut_ = register_module("shortcut", ConvNorm(in, out, 1, stride));
  }
}

torch::Tensor BottleneckImpl::forward(const torch::Tensor& map) {
  const torch::Tensor branch = widen_->forward(middle_->forward(narrow_->forward(map).relu_()).relu_());
  return (branch + (shortcut_ ? shortcut_->forward(map) : map)).relu_();
}

ResNet50Impl::ResNet50Impl() {
  stem_ = register_module("stem", ConvNorm(3, resnet50_stem, 7, 2));
  std::int64_t in = resnet50_stem;
  for (std::size_t stage = 0; stage < resnet50_depths.size(); ++stage) {
    auto& of_stage = stages_.emplace_back();
    for (int block = 0; block < resnet50_depths[stage]; ++block) {
      const std::int64_t stride = stage > 0 && block == 0 ? 2 : 1;
      of_stage.push_back(register_module("stage" + std::to_string(stage + 1) + "_block" + std::to_string(block + 1),
                                         Bottleneck(in, channels[stage] / BottleneckImpl::widening, stride)));
      in = channels[stage];
    }
  }
}

std::vector<torch::Tensor> ResNet50Impl::forward(const torch::Tensor& images, torch::Tensor* first) {
  torch::Tensor map = torch::max_pool2d(stem_->forward(images).relu_(), /*kernel_size=*/3, /*stride=*/2, /*padding=*/1);
  std::vector<torch::Tensor> maps;
  for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
    for (Bottleneck& block : stages_[stage]) {
      map = block->forward(map);
    }
    if (stage > 0) {
      maps.push_back(map);
    } else if (first != nullptr) {
      *first = map;
    }
  }
  return maps;
}

}  // namespace bevfusion
