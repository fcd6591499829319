// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unordered_set>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <fuller/core/error.hpp>

namespace fuller::detail {

/// One optimiser step in which branch m's parameters move the share w_m of the way: p <- p + w_m (p' - p).
///
/// An adaptive optimiser divides a constant factor on the gradient out again; it cannot divide this one out.
/// @throws Error, before anything has moved, for a parameter that is in two lists.
template <class Optimizer>
void step_gated(Optimizer& optimizer, const std::vector<std::vector<at::Tensor>>& branches, const std::vector<double>& scales) {
  std::unordered_set<const void*> seen;
  std::vector<std::vector<at::Tensor>> before(branches.size());
  for (std::size_t m = 0; m < branches.size(); ++m) {
    for (const at::Tensor& parameter : branches[m]) {
      if (!seen.insert(parameter.unsafeGetTensorImpl()).second) {
        fail("step() got a parameter of shape ", parameter.sizes(), " twice; branches whose updates are gated share none");
      }
      before[m].push_back(scales[m] == 1.0 ? at::Tensor() : parameter.detach().clone());
    }
  }
  optimizer.step();
  const at::NoGradGuard no_grad;
  for (std::size_t m = 0; m < branches.size(); ++m) {
    for (std::size_t k = 0; k < branches[m].size(); ++k) {
      if (before[m][k].defined()) {
        at::Tensor now = branches[m][k].detach();
        now.copy_(before[m][k].lerp(now, scales[m]));
      }
    }
  }
}

}  // namespace fuller::detail
