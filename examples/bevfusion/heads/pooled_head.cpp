// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/heads/pooled_head.hpp"

#include <algorithm>

#include <torch/torch.h>

namespace bevfusion {

PooledHeadImpl::PooledHeadImpl(std::int64_t channels, std::int64_t squares, std::int64_t outputs) : squares_(squares) {
  const std::int64_t width = std::min<std::int64_t>(channels, 64);
  ConvOptions halving;
  halving.stride = 2;
  reduce_ = register_module("reduce", ConvBlock(channels, width, halving));
  hidden_ = register_module("hidden", torch::nn::Linear(width * squares * squares, width));
  out_ = register_module("out", torch::nn::Linear(width, outputs));
}

torch::Tensor PooledHeadImpl::forward(const torch::Tensor& shared) {
  const torch::Tensor map = reduce_->forward(shared).to(torch::kFloat);
  const torch::Tensor pooled = torch::adaptive_avg_pool2d(map, {squares_, squares_}).flatten(1);
  return out_->forward(hidden_->forward(pooled).relu()).to(torch::kFloat);
}

}  // namespace bevfusion
