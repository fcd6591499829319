// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "bevfusion/fusion/fuser.hpp"
#include "bevfusion/model/blocks.hpp"

namespace bevfusion {

/// The fusion block of DMFuser's repository (pagand/e2etransfuser, LetFuser): one pre-norm transformer layer over the branches'
/// concatenated channels, whose queries, keys and values come from full 3 x 3 convolutions, batch norm and a linear layer each.
/// Scores are divided by the square root of the whole width, not of a head's, as there. With 496 channels it has the
/// repository's 9,604,048 parameters.
class JointAttentionBlockImpl : public torch::nn::Module {
 public:
  explicit JointAttentionBlockImpl(std::int64_t channels, std::int64_t heads = 8, std::int64_t mlp = 4);

  /// @param map  [B, channels, X, Y], every cell a token
  torch::Tensor forward(const torch::Tensor& map);

 private:
  struct Projection {
    torch::nn::Conv2d conv{nullptr};
    BatchNorm norm{nullptr};
    torch::nn::Linear linear{nullptr};
  };
  /// Tokens by head: [B, heads, T, C / heads].
  torch::Tensor projected(Projection& by, const torch::Tensor& map) const;

  std::int64_t heads_;
  torch::nn::LayerNorm norm_{nullptr}, mlp_norm_{nullptr};
  Projection query_, key_, value_;
  torch::nn::Linear out_{nullptr}, widen_{nullptr}, narrow_{nullptr};
};
TORCH_MODULE(JointAttentionBlock);

/// DMFuser's fusion as its repository has it, at one scale: the concatenated maps, normalised, look at themselves.
///
/// The repository's map is coarse (10 x 48); here the block runs on means over windows, and what it changes is added to the map.
/// Where windows are cells that is the block's output itself. Then BEVFusion's convolution.
///
/// theta^F is that convolution's weight, which reads the branches' channels after the attention has written into both. So
/// gamma_modal compares what the losses ask of the two streams, each a branch with something of the other in it, and a branch
/// that is heard through the other's channels alone counts there: it says less of the sensors than a fuser's that names its
/// entrances.
class JointAttentionFuser final : public Fuser {
 public:
  /// @param tokens  windows along a side
  /// @throws std::invalid_argument for channels that the heads cannot share
  JointAttentionFuser(std::vector<std::int64_t> in, std::int64_t out, std::int64_t tokens, std::int64_t heads, std::int64_t mlp);
  torch::Tensor forward(const std::vector<torch::Tensor>& maps) override;
  std::int64_t channels() const override { return out_; }
  torch::Tensor fusion_weight() const override { return mix_->weight(); }
  std::vector<ChannelSlice> fusion_slices() const override { return stacked(in_); }

 private:
  std::vector<std::int64_t> in_;
  std::int64_t out_;
  std::int64_t tokens_;
  ConvBlock mix_{nullptr};
  BatchNorm norm_{nullptr};
  JointAttentionBlock block_{nullptr};
};

}  // namespace bevfusion
