// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <torch/nn.h>

#include "bevfusion/model/blocks.hpp"

namespace bevfusion {

/// Sizes of the chain of way-points.
struct WaypointHeadOptions {
  std::int64_t inputs = 256;   ///< channels of the shared representation
  std::int64_t hidden = 64;    ///< width of the GRU's state; DMFuser's repository has 328
  std::int64_t squares = 4;    ///< the map is averaged over so many squares along a side; 1 in the repository
  std::int64_t measured = 7;   ///< numbers of CarState
  std::int64_t waypoints = 3;  ///< steps of the GRU
};

/// What the chain of way-points leaves.
struct WaypointChain {
  torch::Tensor waypoints;  ///< [B, K, 2], m, along x and y of the map from where the car is
  torch::Tensor state;      ///< [B, hidden], the GRU's last
  torch::Tensor pooled;     ///< [B, n], the averaged map
};

/// Way-points as DMFuser's repository chains them: a GRU begins with what the map and the car say, reads where it is and where
/// the route leads, and each step adds a difference of places, which a linear layer reads from its state and from a gate that the
/// map alone decides (there `light bias`).
///
///     h_0 = [relu(A map), mlp(measured)],  h_k = GRU(h_{k-1}; p_{k-1}, route),  p_k = p_{k-1} + 10 m W [h_k, sigmoid(B map)]
///
/// There the map is averaged whole; here over squares, since what lies ahead is not what lies behind. Lengths inside are of 10 m.
class WaypointHeadImpl : public torch::nn::Module {
 public:
  explicit WaypointHeadImpl(const WaypointHeadOptions& options);

  /// @param shared    [B, C, X, Y]
  /// @param measured  [B, 7] as CarState::numbers() has it; nothing known where undefined
  WaypointChain forward(const torch::Tensor& shared, const torch::Tensor& measured);
  /// Numbers of WaypointChain::pooled.
  std::int64_t pooled_width() const { return gate_->options.in_features(); }

 private:
  WaypointHeadOptions options_;
  ConvBlock reduce_{nullptr};
  torch::nn::Linear begin_{nullptr};
  torch::nn::Linear measure_in_{nullptr};
  torch::nn::Linear measure_out_{nullptr};
  torch::nn::Linear gate_{nullptr};
  torch::nn::GRUCell cell_{nullptr};
  torch::nn::Linear step_{nullptr};
};
TORCH_MODULE(WaypointHead);

}  // namespace bevfusion
