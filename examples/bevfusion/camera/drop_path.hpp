// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace bevfusion {

/// Stochastic depth (Huang et al., ECCV 2016) of a branch beside a residual, in training: each sample's is zero with probability
/// `drop`, else over 1 - drop.
/// @param branch  [B, ., ., .]
/// @param drop    in [0, 1)
inline torch::Tensor drop_path(const torch::Tensor& branch, double drop) {
  const double keep = 1.0 - drop;
  const torch::Tensor kept = torch::empty({branch.size(0), 1, 1, 1}, branch.options()).bernoulli_(keep);
  return branch * (kept / keep);
}

}  // namespace bevfusion
