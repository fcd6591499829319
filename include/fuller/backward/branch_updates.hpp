// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstddef>
#include <functional>
#include <unordered_set>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <fuller/core/error.hpp>
#include <fuller/engine/gate_engine.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// @throws Error for a parameter that is in two lists.
inline void expect_apart(const std::vector<std::vector<at::Tensor>>& branches) {
  std::unordered_set<const void*> seen;
  for (const auto& branch : branches) {
    for (const at::Tensor& parameter : branch) {
      if (!seen.insert(parameter.unsafeGetTensorImpl()).second) {
        fail("step() got a parameter of shape ", parameter.sizes(), " twice; branches whose updates are gated share none: gate ",
             "those that do by GateTarget::gradient");
      }
    }
  }
}

/// One optimiser step in which branch m's parameters move the share w_m of the way: p <- p + w_m (p' - p).
///
/// An adaptive optimiser divides a constant factor on the gradient out again; it cannot divide this one out.
/// @param branches  M lists of parameters, none of them in two
inline void step_gated(const std::function<void()>& take_step, const std::vector<std::vector<at::Tensor>>& branches,
                       const GateEngine& gates) {
  std::vector<std::vector<at::Tensor>> before(branches.size());
  for (std::size_t m = 0; m < branches.size(); ++m) {
    for (const at::Tensor& parameter : branches[m]) {
      before[m].push_back(gates.is_open(m) ? at::Tensor() : parameter.detach().clone());
    }
  }
  take_step();
  const at::NoGradGuard no_grad;
  for (std::size_t m = 0; m < branches.size(); ++m) {
    for (std::size_t k = 0; k < branches[m].size(); ++k) {
      if (before[m][k].defined()) {
        at::Tensor now = branches[m][k].detach();
        now.copy_(gates.part_way(m, before[m][k], now));
      }
    }
  }
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
