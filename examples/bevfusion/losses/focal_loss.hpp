// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace bevfusion {

/// Exponent and balance of the focal loss. alpha < 0: no balance.
struct FocalOptions {
  double alpha = 0.25;
  double gamma = 2;
};

/// Sigmoid focal loss, element by element: -alpha_t (1 - p_t)^gamma ln p_t, with p_t the probability of what is right.
/// @param logits, target  equal shapes; target in {0, 1}
torch::Tensor focal_loss(const torch::Tensor& logits, const torch::Tensor& target, const FocalOptions& options = {});

/// CenterNet's focal loss of a heat map: -(1 - p)^2 ln p where the target is 1, else -(1 - y)^4 p^2 ln(1 - p), with p clipped to
/// [1e-4, 1 - 1e-4]; the sum over the number of ones, at least 1.
/// @param logits, target  equal shapes; target in [0, 1]
torch::Tensor heat_map_loss(const torch::Tensor& logits, const torch::Tensor& target);

}  // namespace bevfusion
