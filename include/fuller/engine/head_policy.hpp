// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <ATen/core/Tensor.h>

#include <fuller/calibrators/rule.hpp>
#include <fuller/calibrators/weighting.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// What heads get: the rule's weights under ApplyTo::all. Otherwise their plain gradient, but for a task that the policy leaves
/// out, which trains its head in no case.
struct HeadPolicy {
  ApplyTo apply_to;
  NonFinite non_finite;

  /// @param of_rule  the rule's weight for the task's head
  double weight(double of_rule, Condition condition) const {
    if (apply_to == ApplyTo::all) {
      return of_rule;
    }
    return leaves_out() && condition == Condition::non_finite ? 0.0 : 1.0;
  }

  /// The same for [T] weights of the rule and [T] conditions on a device, into [T] doubles that were 1 at first; or, without a
  /// copy, the rule's own. Waits for nothing.
  void weigh(const at::Tensor& of_rule, const at::Tensor& conditions, at::Tensor& of_heads) const {
    if (apply_to == ApplyTo::all) {
      of_heads = of_rule;
    } else if (leaves_out()) {
      of_heads.copy_(conditions.ne(static_cast<int>(Condition::non_finite)));
    }
  }

  /// Whether a task may be left out: also where the policy throws, for what runs on before it can.
  bool leaves_out() const { return non_finite != NonFinite::propagate; }
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
