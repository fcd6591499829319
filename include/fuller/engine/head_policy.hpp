// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstddef>

#include <ATen/core/Tensor.h>

#include <fuller/calibrators/policies.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/engine/outcome.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// What heads get: the rule's weights under ApplyTo::all. Otherwise their plain gradient, but for a task that the policy leaves
/// out, which trains its head in no case.
struct HeadPolicy {
  ApplyTo apply_to;
  NonFinite non_finite;

  /// Of the head of a task, from what the rule decided about all of them.
  double weight(const Verdict& verdict, std::size_t task) const {
    if (apply_to == ApplyTo::all) {
      return verdict.heads[task];
    }
    return leaves_out(non_finite, verdict.conditions.data(), static_cast<int>(verdict.conditions.size()), static_cast<int>(task))
               ? 0.0
               : 1.0;
  }

  /// The same for [T] weights of the rule and [T] conditions on a device, into [T] doubles that were 1 at first; or, without a
  /// copy, the rule's own. Waits for nothing.
  void weigh(const at::Tensor& of_rule, const at::Tensor& conditions, at::Tensor& of_heads) const {
    if (apply_to == ApplyTo::all) {
      of_heads = of_rule;
    } else if (may_leave_out(non_finite)) {
      of_heads.copy_(conditions.ne(static_cast<int>(Condition::non_finite)));
    }
  }
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
