// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_set>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <fuller/core/error.hpp>

namespace fuller::detail {

/// The share of the way that branch m goes: a number, or one on the device.
inline double share_of(const std::vector<double>& scales, std::size_t m, at::ScalarType /*type*/) { return scales[m]; }
inline at::Tensor share_of(const at::Tensor& scales, std::size_t m, at::ScalarType type) {
  return scales[static_cast<std::int64_t>(m)].to(type);
}
/// Whether it is known to go all of it.
inline bool goes_all_the_way(const std::vector<double>& scales, std::size_t m) { return scales[m] == 1.0; }
inline bool goes_all_the_way(const at::Tensor& /*scales*/, std::size_t /*m*/) { return false; }

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
/// @param scales    M doubles, on the host or on the device
template <class Optimizer, class Scales>
void step_gated(Optimizer& optimizer, const std::vector<std::vector<at::Tensor>>& branches, const Scales& scales) {
  std::vector<std::vector<at::Tensor>> before(branches.size());
  for (std::size_t m = 0; m < branches.size(); ++m) {
    for (const at::Tensor& parameter : branches[m]) {
      before[m].push_back(goes_all_the_way(scales, m) ? at::Tensor() : parameter.detach().clone());
    }
  }
  optimizer.step();
  const at::NoGradGuard no_grad;
  for (std::size_t m = 0; m < branches.size(); ++m) {
    for (std::size_t k = 0; k < branches[m].size(); ++k) {
      if (before[m][k].defined()) {
        at::Tensor now = branches[m][k].detach();
        now.copy_(before[m][k].lerp(now, share_of(scales, m, now.scalar_type())));
      }
    }
  }
}

}  // namespace fuller::detail
