// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/fusion/fuser.hpp"

#include <numeric>
#include <utility>

#include <torch/torch.h>

namespace bevfusion {

ConcatFuser::ConcatFuser(std::vector<std::int64_t> in, std::int64_t out) : in_(std::move(in)), out_(out) {
  mix_ = register_module("mix", ConvBlock(std::accumulate(in_.begin(), in_.end(), std::int64_t{0}), out));
}

torch::Tensor ConcatFuser::forward(const std::vector<torch::Tensor>& maps) { return mix_->forward(torch::cat(maps, 1)); }

std::vector<ChannelSlice> ConcatFuser::fusion_slices() const {
  std::vector<ChannelSlice> slices;
  std::int64_t first = 0;
  for (const std::int64_t count : in_) {
    slices.push_back({first, count});
    first += count;
  }
  return slices;
}

}  // namespace bevfusion
