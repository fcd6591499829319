// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include <torch/nn.h>

namespace bevfusion {

/// What turns the fused map into the shared representation: the last shared layers. A backbone of another kind is another class
/// of this kind, made by name.
class BevBackbone : public torch::nn::Module {
 public:
  /// @param map  [B, C, X, Y], X and Y even
  /// @return [B, channels(), X, Y]: the shared representation
  virtual torch::Tensor forward(const torch::Tensor& map) = 0;
  virtual std::int64_t channels() const = 0;

  /// The weight of the first layer [out, C, kx, ky]: theta^F of FULLER where the fuser has none.
  virtual torch::Tensor first_weight() const = 0;
  /// shared_L of FULLER: the weight of the last shared layer.
  virtual torch::Tensor last_shared() const = 0;
  /// All weights that the shared representation is the direct output of, where the last layer has parallel parts.
  virtual std::vector<torch::Tensor> both_last_shared() const { return {last_shared()}; }
};

}  // namespace bevfusion
