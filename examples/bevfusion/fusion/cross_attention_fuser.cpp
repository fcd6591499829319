// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/fusion/cross_attention_fuser.hpp"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/fusion/token_grid.hpp"
#include "bevfusion/model/kinds.hpp"
#include "bevfusion/model/layer_norm.hpp"
#include "bevfusion/model/part_numbers.hpp"

namespace bevfusion {

CrossAttentionScaleImpl::CrossAttentionScaleImpl(const std::vector<std::int64_t>& in, std::int64_t side,
                                                 const CrossAttentionOptions& options)
    : side_(side) {
  using torch::nn::LayerNorm;
  using torch::nn::Linear;
  const std::int64_t width = options.width;
  for (std::size_t m = 0; m < 2; ++m) {
    Side& own = sides_[m];
    const auto named = [m](const char* name) { return name + std::to_string(m); };
    const auto norm = [width] { return LayerNorm(torch::nn::LayerNormOptions({width})); };
    own.embed = register_module(named("embed"), Linear(in[m], width));
    own.position = register_parameter(named("position"), torch::zeros({side * side, 1, width}));
    torch::nn::init::normal_(own.position, 0.0, 0.02);
    own.norm = register_module(named("norm"), norm());
    own.attention = register_module(named("attention"),
                                    torch::nn::MultiheadAttention(torch::nn::MultiheadAttentionOptions(width, options.heads)));
    own.mlp_norm = register_module(named("mlp_norm"), norm());
    own.widen = register_module(named("widen"), Linear(width, options.mlp * width));
    own.narrow = register_module(named("narrow"), Linear(options.mlp * width, width));
    own.out = register_module(named("out"), Linear(width, in[m]));
    torch::nn::init::zeros_(own.out->weight);
    torch::nn::init::zeros_(own.out->bias);
  }
}

torch::Tensor CrossAttentionScaleImpl::answers(Side& side, const torch::Tensor& own, const torch::Tensor& asked,
                                               const torch::Tensor& asking, torch::Tensor* weights) const {
  const auto [read, shares] = side.attention->forward(asking, asked, asked, {}, weights != nullptr);
  if (weights != nullptr) {
    *weights = shares;
  }
  torch::Tensor at = own + read;
  at = at + side.narrow->forward(torch::gelu(side.widen->forward(normalised(side.mlp_norm, at))));
  return side.out->forward(at);  // [T, B, C]
}

std::vector<torch::Tensor> CrossAttentionScaleImpl::forward(const std::vector<torch::Tensor>& maps,
                                                            std::vector<AttentionMap>* seen) {
  std::array<torch::Tensor, 2> tokens;
  std::array<torch::Tensor, 2> level;
  for (std::size_t m = 0; m < 2; ++m) {
    const torch::Tensor windows = pooled(maps[m], side_).flatten(2).permute({2, 0, 1});  // [T, B, C]
    tokens[m] = sides_[m].embed->forward(windows) + sides_[m].position;
    level[m] = normalised(sides_[m].norm, tokens[m]);
  }
  std::vector<torch::Tensor> out;
  for (std::size_t m = 0; m < 2; ++m) {
    AttentionMap map{m, 1 - m, side_, {}};
    const torch::Tensor heard =
        answers(sides_[m], tokens[m], level[1 - m], level[m], seen == nullptr ? nullptr : &map.weights).permute({1, 2, 0});
    if (seen != nullptr) {
      seen->push_back(map);
    }
    out.push_back(maps[m] + spread(heard.reshape({heard.size(0), heard.size(1), side_, side_}), maps[m]));
  }
  return out;
}

CrossAttentionFuser::CrossAttentionFuser(std::vector<std::int64_t> in, std::int64_t out, std::int64_t cells,
                                         const CrossAttentionOptions& options)
    : out_(out) {
  if (in.size() != 2) {
    throw std::invalid_argument("model.fuser cross_attention lets two branches look at each other, and the model has " +
                                std::to_string(in.size()) +
                                "; set model.parts.lidar and model.parts.camera to true, or model.fuser to concat");
  }
  if (options.width % options.heads != 0) {
    throw std::invalid_argument("model.numbers: cross_attention.width is " + std::to_string(options.width) +
                                ", which cannot be shared by cross_attention.heads (" + std::to_string(options.heads) + ")");
  }
  const std::int64_t first = std::min(options.tokens, cells);
  if (options.scales > 30 || first >> (options.scales - 1) < 1) {
    throw std::invalid_argument("model.numbers: cross_attention.scales is " + std::to_string(options.scales) + ", and " +
                                std::to_string(first) +
                                " windows along a side (cross_attention.tokens, or the map's cells where they are fewer) cannot "
                                "be halved so often");
  }
  mix_ = register_module("mix", ConvBlock(in[0] + in[1], out));  // the first that is drawn, as ConcatFuser's
  for (std::size_t m = 0; m < in.size(); ++m) {
    torch::nn::Conv2d enter(torch::nn::Conv2dOptions(in[m], in[m], 1).bias(false));
    torch::nn::init::dirac_(enter->weight);
    enter_.push_back(register_module("enter" + std::to_string(m), enter));
  }
  for (std::int64_t k = 0; k < options.scales; ++k) {
    scales_.push_back(register_module("scale" + std::to_string(k), CrossAttentionScale(in, first >> k, options)));
  }
}

std::vector<torch::Tensor> CrossAttentionFuser::streams(const std::vector<torch::Tensor>& maps, std::vector<AttentionMap>* seen) {
  std::vector<torch::Tensor> out;
  for (std::size_t m = 0; m < maps.size(); ++m) {
    out.push_back(enter_.at(m)->forward(maps[m]));
  }
  for (CrossAttentionScale& scale : scales_) {
    out = scale->forward(out, seen);
  }
  return out;
}

torch::Tensor CrossAttentionFuser::forward(const std::vector<torch::Tensor>& maps) {
  return mix_->forward(torch::cat(streams(maps, nullptr), 1));
}

std::vector<AttentionMap> CrossAttentionFuser::attention(const std::vector<torch::Tensor>& maps) {
  if (is_training()) {
    throw std::logic_error("the fuser shows where branches look in evaluation mode alone");
  }
  const torch::NoGradGuard no_grad;
  std::vector<AttentionMap> seen;
  streams(maps, &seen);
  return seen;
}

void register_cross_attention_fuser(Kinds& kinds) {
  kinds.fusers.add("cross_attention", [](const ModelConfig& config, const std::vector<std::int64_t>& in) {
    CrossAttentionOptions options;
    options.scales = whole_number_of(config, "cross_attention.scales", options.scales, 1);
    options.tokens = whole_number_of(config, "cross_attention.tokens", options.tokens, 1);
    options.width = whole_number_of(config, "cross_attention.width", config.fused, 1);
    options.heads = whole_number_of(config, "cross_attention.heads", options.heads, 1);
    options.mlp = whole_number_of(config, "cross_attention.mlp", options.mlp, 1);
    const auto cells = static_cast<std::int64_t>(config.bev_grid().cells_x);
    return std::make_shared<CrossAttentionFuser>(in, config.fused, cells, options);
  });
}

}  // namespace bevfusion
