// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <numeric>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/model/kinds.hpp"

namespace bevfusion {
namespace {

/// Concatenation alone: the BEV backbone's first convolution reads the branches, the other reading of FULLER's Eq. 1.
class DirectFuser final : public Fuser {
 public:
  explicit DirectFuser(std::vector<std::int64_t> in) : in_(std::move(in)) {}
  torch::Tensor forward(const std::vector<torch::Tensor>& maps) override { return torch::cat(maps, 1); }
  std::int64_t channels() const override { return std::accumulate(in_.begin(), in_.end(), std::int64_t{0}); }
  torch::Tensor fusion_weight() const override { return {}; }
  std::vector<ChannelSlice> fusion_slices() const override { return stacked(in_); }

 private:
  std::vector<std::int64_t> in_;
};

}  // namespace

void register_direct_fuser(Kinds& kinds) {
  kinds.fusers.add("direct",
                   [](const ModelConfig&, const std::vector<std::int64_t>& in) { return std::make_shared<DirectFuser>(in); });
}

}  // namespace bevfusion
