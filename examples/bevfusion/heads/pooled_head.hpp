// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <torch/nn.h>

#include "bevfusion/model/blocks.hpp"

namespace bevfusion {

/// A few numbers of a whole map: a convolution that halves it, means over squares, two linear layers.
class PooledHeadImpl : public torch::nn::Module {
 public:
  /// @param squares  along a side
  PooledHeadImpl(std::int64_t channels, std::int64_t squares, std::int64_t outputs);

  /// [B, C, X, Y] to [B, outputs] float.
  torch::Tensor forward(const torch::Tensor& shared);

 private:
  std::int64_t squares_;
  ConvBlock reduce_{nullptr};
  torch::nn::Linear hidden_{nullptr};
  torch::nn::Linear out_{nullptr};
};
TORCH_MODULE(PooledHead);

}  // namespace bevfusion
