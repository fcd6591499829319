// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "bevfusion/model/blocks.hpp"

namespace bevfusion {

/// A named range of a weight's input channels.
struct ChannelSlice {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

/// What joins the branches' BEV maps. A fuser of another kind is another class of this kind.
class Fuser : public torch::nn::Module {
 public:
  /// @param maps  one [B, C_m, X, Y] for each branch, in the order of the constructor
  /// @return [B, channels(), X, Y]
  virtual torch::Tensor forward(const std::vector<torch::Tensor>& maps) = 0;
  virtual std::int64_t channels() const = 0;

  /// theta^F of FULLER, the weight of the first layer that reads the branches: [out, sum of C_m, kx, ky].
  virtual torch::Tensor fusion_weight() const = 0;
  /// The input channels of fusion_weight() that read each branch.
  virtual std::vector<ChannelSlice> fusion_slices() const = 0;
};

/// BEVFusion's: concatenation and one 3 x 3 block.
class ConcatFuser final : public Fuser {
 public:
  ConcatFuser(std::vector<std::int64_t> in, std::int64_t out);
  torch::Tensor forward(const std::vector<torch::Tensor>& maps) override;
  std::int64_t channels() const override { return out_; }
  torch::Tensor fusion_weight() const override { return mix_->weight(); }
  std::vector<ChannelSlice> fusion_slices() const override;

 private:
  std::vector<std::int64_t> in_;
  std::int64_t out_;
  ConvBlock mix_{nullptr};
};

}  // namespace bevfusion
