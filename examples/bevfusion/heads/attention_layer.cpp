// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/heads/attention_layer.hpp"

#include <torch/torch.h>

#include "bevfusion/heads/inference_attention.hpp"
#include "bevfusion/model/layer_norm.hpp"

namespace bevfusion {
DecoderLayerImpl::DecoderLayerImpl(const DecoderLayerOptions& options) {
  const auto attention = [&] {
    return torch::nn::MultiheadAttention(
        torch::nn::MultiheadAttentionOptions(options.channels, options.heads).dropout(options.dropout));
  };
  const auto norm = [&] { return torch::nn::LayerNorm(torch::nn::LayerNormOptions({options.channels})); };
  if (options.self_attention) {
    self_ = register_module("self", attention());
  }
  self_norm_ = register_module("self_norm", norm());
  cross_ = register_module("cross", attention());
  cross_norm_ = register_module("cross_norm", norm());
  widen_ = register_module("widen", torch::nn::Linear(options.channels, options.feed_forward));
  narrow_ = register_module("narrow", torch::nn::Linear(options.feed_forward, options.channels));
  mlp_norm_ = register_module("mlp_norm", norm());
  dropout_ = register_module("dropout", torch::nn::Dropout(options.dropout));
}

torch::Tensor DecoderLayerImpl::forward(const torch::Tensor& queries, const torch::Tensor& query_position,
                                        const torch::Tensor& keys, const torch::Tensor& key_position, bool position_in_values) {
  torch::Tensor at = queries;
  if (self_) {
    const torch::Tensor placed = at + query_position;
    const torch::Tensor mixed = std::get<0>(self_->forward(placed, placed, position_in_values ? placed : at, {}, false));
    at = at + dropout_->forward(mixed);
  }
  at = normalised(self_norm_, at);
  const torch::Tensor placed_queries = at + query_position;
  torch::Tensor read = inference_attention(cross_, placed_queries, keys, key_position, position_in_values);
  if (!read.defined()) {
    const torch::Tensor placed_keys = keys + key_position;
    read = std::get<0>(cross_->forward(placed_queries, placed_keys, position_in_values ? placed_keys : keys, {}, false));
  }
  at = normalised(cross_norm_, at + dropout_->forward(read));
  const torch::Tensor passed = narrow_->forward(dropout_->forward(torch::relu(widen_->forward(at))));
  return normalised(mlp_norm_, at + dropout_->forward(passed));
}

}  // namespace bevfusion
