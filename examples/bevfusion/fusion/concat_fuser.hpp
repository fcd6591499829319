// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/fusion/fuser.hpp"
#include "bevfusion/model/blocks.hpp"

namespace bevfusion {

/// BEVFusion's: concatenation and one 3 x 3 block.
class ConcatFuser final : public Fuser {
 public:
  ConcatFuser(std::vector<std::int64_t> in, std::int64_t out);
  torch::Tensor forward(const std::vector<torch::Tensor>& maps) override;
  std::int64_t channels() const override { return out_; }
  torch::Tensor fusion_weight() const override { return mix_->weight(); }
  std::vector<ChannelSlice> fusion_slices() const override { return stacked(in_); }

 private:
  std::vector<std::int64_t> in_;
  std::int64_t out_;
  ConvBlock mix_{nullptr};
};

}  // namespace bevfusion
