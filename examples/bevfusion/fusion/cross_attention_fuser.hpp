// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "bevfusion/fusion/fuser.hpp"
#include "bevfusion/model/blocks.hpp"

namespace bevfusion {

/// Sizes of the cross attention. The tiny network's tokens are as many as the full one's; its width follows from `fused`.
struct CrossAttentionOptions {
  std::int64_t scales = 3;
  std::int64_t tokens = 16;  ///< windows along a side at the first scale; each later one has half as many
  std::int64_t width = 256;  ///< of tokens within the attention
  std::int64_t heads = 4;
  std::int64_t mlp = 2;  ///< hidden channels of the MLP, of the width
};

/// Two branches that look at each other at one scale: tokens are means over windows, each branch's ask the other's, and what they
/// heard is added to the branch's map. Its last layer starts at zero, so that the maps start as they are.
class CrossAttentionScaleImpl : public torch::nn::Module {
 public:
  /// @param in    channels of the two branches
  /// @param side  windows along a side of the map
  CrossAttentionScaleImpl(const std::vector<std::int64_t>& in, std::int64_t side, const CrossAttentionOptions& options);

  /// @param maps  [B, C_m, X, Y] each
  /// @param seen  gets what each of the branches read of the other, if it is there
  std::vector<torch::Tensor> forward(const std::vector<torch::Tensor>& maps, std::vector<AttentionMap>* seen = nullptr);

 private:
  /// What one branch has: its queries, its keys and values for the other, and what becomes of the answers.
  struct Side {
    torch::nn::Linear embed{nullptr};
    torch::Tensor position;  ///< [T, 1, width]
    torch::nn::LayerNorm norm{nullptr};
    torch::nn::MultiheadAttention attention{nullptr};
    torch::nn::LayerNorm mlp_norm{nullptr};
    torch::nn::Linear widen{nullptr}, narrow{nullptr}, out{nullptr};
  };
  /// @param weights  gets [B, T, T] if it is there
  torch::Tensor answers(Side& side, const torch::Tensor& own, const torch::Tensor& asked, const torch::Tensor& asking,
                        torch::Tensor* weights) const;

  std::int64_t side_;
  std::array<Side, 2> sides_;
};
TORCH_MODULE(CrossAttentionScale);

/// DMFuser's fusion as its summary tells it: cross-modal attention at several scales, then BEVFusion's convolution.
///
/// At each scale tokens of one branch are queries, and those of the other keys and values, both ways at once, on windows of the
/// map as TransFuser pools them; what was heard is added to the branches before the next, coarser scale.
///
/// Each branch comes in through a 1 x 1 convolution that nothing else reads, in front of any attention. These two weights are
/// theta^F, so gamma_modal compares what the losses ask of the branches by all ways, through their own channels and through the
/// other's attention. They start as the identity: with `mix` drawn first and outputs of zero the fuser starts as ConcatFuser.
class CrossAttentionFuser final : public Fuser {
 public:
  /// @param cells  along a side of the maps
  /// @throws std::invalid_argument for another number of branches than two, and for sizes that do not fit each other
  CrossAttentionFuser(std::vector<std::int64_t> in, std::int64_t out, std::int64_t cells, const CrossAttentionOptions& options);
  torch::Tensor forward(const std::vector<torch::Tensor>& maps) override;
  std::vector<AttentionMap> attention(const std::vector<torch::Tensor>& maps) override;
  std::int64_t channels() const override { return out_; }
  std::vector<BranchReader> branch_readers() const override {
    return {reads_alone(enter_[0]->weight), reads_alone(enter_[1]->weight)};
  }
  std::vector<torch::Tensor> last_layers() const override { return {mix_->weight()}; }

 private:
  std::vector<torch::Tensor> streams(const std::vector<torch::Tensor>& maps, std::vector<AttentionMap>* seen);

  std::int64_t out_;
  ConvBlock mix_{nullptr};
  std::vector<torch::nn::Conv2d> enter_;
  std::vector<CrossAttentionScale> scales_;
};

}  // namespace bevfusion
