// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <torch/nn.h>

namespace bevfusion {

/// Widths of a decoder layer.
struct DecoderLayerOptions {
  std::int64_t channels = 128;
  std::int64_t heads = 8;
  std::int64_t feed_forward = 256;
  double dropout = 0.1;
  bool self_attention = true;
};

/// One layer of a transformer decoder, normalised after each residual: self-attention among queries, cross-attention to keys,
/// MLP.
class DecoderLayerImpl : public torch::nn::Module {
 public:
  explicit DecoderLayerImpl(const DecoderLayerOptions& options);

  /// @param queries         [Q, B, C]
  /// @param query_position  [Q, B, C], added to queries before both attentions
  /// @param keys            [K, B, C]
  /// @param key_position    [K, B, C] or [K, 1, C], added to keys
  /// @param position_in_values  whether values carry the position too (TransFusion) or not (MaskFormer)
  /// @return [Q, B, C]
  torch::Tensor forward(const torch::Tensor& queries, const torch::Tensor& query_position, const torch::Tensor& keys,
                        const torch::Tensor& key_position, bool position_in_values);

  /// Of the last product.
  const torch::Tensor& last_weight() const { return narrow_->weight; }

 private:
  torch::nn::MultiheadAttention self_{nullptr}, cross_{nullptr};
  torch::nn::LayerNorm self_norm_{nullptr}, cross_norm_{nullptr}, mlp_norm_{nullptr};
  torch::nn::Linear widen_{nullptr}, narrow_{nullptr};
  torch::nn::Dropout dropout_{nullptr};
};
TORCH_MODULE(DecoderLayer);

}  // namespace bevfusion
