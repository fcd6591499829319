// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/camera/efficientnet_b0.hpp"

#include <algorithm>
#include <string>

#include <torch/torch.h>

#include "bevfusion/camera/drop_path.hpp"

namespace bevfusion {
namespace {

constexpr std::int64_t efficientnet_stem = 32;
constexpr std::int64_t efficientnet_squeezing = 4;

struct EfficientNetStage {
  std::int64_t out;
  std::int64_t widening;
  std::int64_t kernel;
  std::int64_t stride;
  int depth;
};
/// Table 1 of the paper.
constexpr std::array<EfficientNetStage, 7> efficientnet_stages{{{16, 1, 3, 1, 1},
                                                                {24, 6, 3, 2, 2},
                                                                {40, 6, 5, 2, 2},
                                                                {80, 6, 3, 2, 3},
                                                                {112, 6, 5, 1, 3},
                                                                {192, 6, 5, 2, 4},
                                                                {320, 6, 3, 1, 1}}};
/// Which stages' maps are the last of their size, from 0.
constexpr std::size_t efficientnet_at_stride_4 = 1, efficientnet_at_stride_8 = 2, efficientnet_at_stride_16 = 4;

}  // namespace

SqueezeExcitationImpl::SqueezeExcitationImpl(std::int64_t channels, std::int64_t squeezed) {
  squeeze_ = register_module("squeeze", torch::nn::Conv2d(torch::nn::Conv2dOptions(channels, squeezed, 1)));
  excite_ = register_module("excite", torch::nn::Conv2d(torch::nn::Conv2dOptions(squeezed, channels, 1)));
  for (const torch::nn::Conv2d& layer : {squeeze_, excite_}) {
    torch::nn::init::kaiming_normal_(layer->weight, 0.0, torch::kFanOut, torch::kReLU);
    torch::nn::init::zeros_(layer->bias);
  }
}

torch::Tensor SqueezeExcitationImpl::forward(const torch::Tensor& map) {
  const torch::Tensor means = map.mean({2, 3}, /*keepdim=*/true);
  return map * excite_->forward(torch::silu(squeeze_->forward(means))).sigmoid();
}

MBConvImpl::MBConvImpl(const MBConvOptions& options) : options_(options) {
  const std::int64_t inside = options.in * options.widening;
  if (options.widening > 1) {
    widen_ = register_module("widen", ConvNorm(options.in, inside, 1));
  }
  depthwise_ = register_module("depthwise", ConvNorm(inside, inside, options.kernel, options.stride, inside));
  attend_ = register_module("attend", SqueezeExcitation(inside, std::max<std::int64_t>(1, options.in / efficientnet_squeezing)));
  project_ = register_module("project", ConvNorm(inside, options.out, 1));
}

torch::Tensor MBConvImpl::forward(const torch::Tensor& map) {
  const torch::Tensor inside = torch::silu(depthwise_->forward(widen_ ? torch::silu(widen_->forward(map)) : map));
  const torch::Tensor branch = project_->forward(attend_->forward(inside));
  if (options_.stride != 1 || options_.in != options_.out) {
    return branch;
  }
  return map + (is_training() && options_.drop_path > 0 ? drop_path(branch, options_.drop_path) : branch);
}

std::vector<std::vector<MBConvOptions>> EfficientNetB0Impl::stages(double drop_path) {
  int blocks = 0;
  for (const EfficientNetStage& stage : efficientnet_stages) {
    blocks += stage.depth;
  }
  std::vector<std::vector<MBConvOptions>> stages;
  std::int64_t in = efficientnet_stem;
  int before = 0;
  for (const EfficientNetStage& stage : efficientnet_stages) {
    auto& of_stage = stages.emplace_back();
    for (int block = 0; block < stage.depth; ++block, ++before) {
      of_stage.push_back(
          {in, stage.out, stage.widening, stage.kernel, block == 0 ? stage.stride : 1, drop_path * before / blocks});
      in = stage.out;
    }
  }
  return stages;
}

EfficientNetB0Impl::EfficientNetB0Impl(double drop_path) {
  stem_ = register_module("stem", ConvNorm(3, efficientnet_stem, 3, 2));
  for (const std::vector<MBConvOptions>& stage : stages(drop_path)) {
    auto& of_stage = stages_.emplace_back();
    for (const MBConvOptions& block : stage) {
      of_stage.push_back(register_module(
          "stage" + std::to_string(stages_.size()) + "_block" + std::to_string(of_stage.size() + 1), MBConv(block)));
    }
  }
  last_ = register_module("last", ConvNorm(efficientnet_stages.back().out, channels.back(), 1));
}

std::vector<torch::Tensor> EfficientNetB0Impl::forward(const torch::Tensor& images, torch::Tensor* first) {
  torch::Tensor map = torch::silu(stem_->forward(images));
  std::vector<torch::Tensor> maps;
  for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
    for (MBConv& block : stages_[stage]) {
      map = block->forward(map);
    }
    if (stage == efficientnet_at_stride_4 && first != nullptr) {
      *first = map;
    }
    if (stage == efficientnet_at_stride_8 || stage == efficientnet_at_stride_16) {
      maps.push_back(map);
    }
  }
  maps.push_back(torch::silu(last_->forward(map)));
  return maps;
}

}  // namespace bevfusion
