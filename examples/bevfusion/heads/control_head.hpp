// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn.h>

#include "bevfusion/heads/waypoint_head.hpp"

namespace bevfusion {

/// Way-points, and controls after them.
struct ControlChain {
  WaypointChain way;
  torch::Tensor state;     ///< [B, hidden], the second GRU's last
  torch::Tensor controls;  ///< [B, K + 1, 3]: steer -1 ... 1, throttle and brake 0 ... 1, now and at each way-point
};

/// Controls as DMFuser's repository chains them: a second GRU begins with the state that the one of the way-points ends with,
/// reads the controls before and where the route leads, and each step adds a difference.
///
///     c_0 = mlp(h + b),  h_k = GRU(h_{k-1}; c_{k-1}, route),  c_k = c_{k-1} + mlp'([h_k, b]),  b = sigmoid(B map)
///
/// Steer is 2 sigmoid(c) - 1, throttle and brake sigmoid(c). (There throttle is 0.75 of that, which is CARLA's cap.)
class ControlHeadImpl : public torch::nn::Module {
 public:
  explicit ControlHeadImpl(const WaypointHeadOptions& options);

  /// As WaypointHeadImpl::forward().
  ControlChain forward(const torch::Tensor& shared, const torch::Tensor& measured);

 private:
  WaypointHeadOptions options_;
  WaypointHead way_{nullptr};
  torch::nn::Linear gate_{nullptr};
  torch::nn::Sequential first_{nullptr};
  torch::nn::GRUCell cell_{nullptr};
  torch::nn::Sequential next_{nullptr};
};
TORCH_MODULE(ControlHead);

}  // namespace bevfusion
