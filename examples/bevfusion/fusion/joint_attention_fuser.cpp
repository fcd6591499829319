// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/fusion/joint_attention_fuser.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/fusion/token_grid.hpp"
#include "bevfusion/model/kinds.hpp"
#include "bevfusion/model/layer_norm.hpp"
#include "bevfusion/model/part_numbers.hpp"

namespace bevfusion {

JointAttentionBlockImpl::JointAttentionBlockImpl(std::int64_t channels, std::int64_t heads, std::int64_t mlp) : heads_(heads) {
  using torch::nn::Linear;
  const auto projection = [&](const std::string& name) {
    Projection by;
    by.conv = register_module(name + "_conv",
                              torch::nn::Conv2d(torch::nn::Conv2dOptions(channels, channels, 3).padding(1).bias(false)));
    by.norm = register_module(name + "_norm", BatchNorm(channels));
    by.linear = register_module(name, Linear(channels, channels));
    return by;
  };
  const auto norm = [channels] { return torch::nn::LayerNorm(torch::nn::LayerNormOptions({channels})); };
  norm_ = register_module("norm", norm());
  query_ = projection("query");
  key_ = projection("key");
  value_ = projection("value");
  out_ = register_module("out", Linear(channels, channels));
  mlp_norm_ = register_module("mlp_norm", norm());
  widen_ = register_module("widen", Linear(channels, mlp * channels));
  narrow_ = register_module("narrow", Linear(mlp * channels, channels));
}

torch::Tensor JointAttentionBlockImpl::projected(Projection& by, const torch::Tensor& map) const {
  const torch::Tensor tokens = by.norm->forward(by.conv->forward(map)).flatten(2).transpose(1, 2);
  const torch::Tensor out = by.linear->forward(tokens);
  return out.view({out.size(0), out.size(1), heads_, out.size(2) / heads_}).transpose(1, 2);
}

torch::Tensor JointAttentionBlockImpl::forward(const torch::Tensor& map) {
  const torch::Tensor tokens = map.flatten(2).transpose(1, 2);  // [B, T, C]
  const torch::Tensor level = normalised(norm_, tokens).transpose(1, 2).reshape(map.sizes());
  const torch::Tensor query = projected(query_, level);
  const torch::Tensor scores =
      torch::matmul(query, projected(key_, level).transpose(2, 3)) / std::sqrt(static_cast<double>(map.size(1)));
  const torch::Tensor read = torch::matmul(scores.softmax(3), projected(value_, level));
  torch::Tensor at = tokens + out_->forward(read.transpose(1, 2).reshape(tokens.sizes()));
  at = at + narrow_->forward(torch::gelu(widen_->forward(normalised(mlp_norm_, at))));
  return at.transpose(1, 2).reshape(map.sizes());
}

JointAttentionFuser::JointAttentionFuser(std::vector<std::int64_t> in, std::int64_t out, std::int64_t tokens, std::int64_t heads,
                                         std::int64_t mlp)
    : in_(std::move(in)), out_(out), tokens_(tokens) {
  const std::int64_t all = std::accumulate(in_.begin(), in_.end(), std::int64_t{0});
  if (all % heads != 0) {
    throw std::invalid_argument("model.numbers: joint_attention.heads is " + std::to_string(heads) +
                                ", and the branches together have " + std::to_string(all) + " channels, which it cannot share");
  }
  mix_ = register_module("mix", ConvBlock(all, out));
  norm_ = register_module("norm", BatchNorm(all));
  block_ = register_module("block", JointAttentionBlock(all, heads, mlp));
}

torch::Tensor JointAttentionFuser::forward(const std::vector<torch::Tensor>& maps) {
  const torch::Tensor joint = norm_->forward(torch::cat(maps, 1));
  const torch::Tensor windows = pooled(joint, tokens_);
  return mix_->forward(joint + spread(block_->forward(windows) - windows, joint));
}

void register_joint_attention_fuser(Kinds& kinds) {
  kinds.fusers.add("joint_attention", [](const ModelConfig& config, const std::vector<std::int64_t>& in) {
    const auto cells = static_cast<std::int64_t>(config.bev_grid().cells_x);
    const std::int64_t tokens = std::min(whole_number_of(config, "joint_attention.tokens", 16, 1), cells);
    const std::int64_t heads = whole_number_of(config, "joint_attention.heads", 8, 1);
    const std::int64_t mlp = whole_number_of(config, "joint_attention.mlp", 4, 1);
    return std::make_shared<JointAttentionFuser>(in, config.fused, tokens, heads, mlp);
  });
}

}  // namespace bevfusion
