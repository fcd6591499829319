// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/fusion/concat_fuser.hpp"

#include <memory>
#include <numeric>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/model/kinds.hpp"

namespace bevfusion {

ConcatFuser::ConcatFuser(std::vector<std::int64_t> in, std::int64_t out) : in_(std::move(in)), out_(out) {
  mix_ = register_module("mix", ConvBlock(std::accumulate(in_.begin(), in_.end(), std::int64_t{0}), out));
}

torch::Tensor ConcatFuser::forward(const std::vector<torch::Tensor>& maps) { return mix_->forward(torch::cat(maps, 1)); }

void register_concat_fuser(Kinds& kinds) {
  kinds.fusers.add("concat", [](const ModelConfig& config, const std::vector<std::int64_t>& in) {
    return std::make_shared<ConcatFuser>(in, config.fused);
  });
}

}  // namespace bevfusion
