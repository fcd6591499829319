// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <fuller/core/host_device.hpp>

namespace fuller {
inline namespace v0_1 {

/// What is done in a step in which a present task's gradient or loss is NaN or infinite.
enum class NonFinite {
  propagate,    ///< every weight is NaN and no state moves, so gradients are NaN and a gradient scaler skips the step
  skip,         ///< the task is left out as if it were absent, with weight 0
  throw_error,  ///< weights as for `skip`, but no state moves, and the backward throws NonFiniteError (after use(), later: see
                ///< Calibration::use(); who calls a Weighting reads the conditions and throws)
};

/// What a step showed of one task.
enum class Condition : std::uint8_t {
  used,        ///< weighted by the rule
  absent,      ///< no loss in this step
  zero,        ///< its gradient is zero, exactly or to rounding (see WeightingOptions::zero_below)
  non_finite,  ///< its gradient or its loss, after the stage and times the static weight before the rule, is NaN or infinite
};

namespace detail {

// What each policy means. All code that depends on a policy asks these functions, so that a new policy is defined here alone.

/// Whether one such task makes every weight of the step NaN.
FULLER_HD constexpr bool spreads(NonFinite policy) { return policy == NonFinite::propagate; }

/// Whether tasks that are not finite have to be found even if the rule needs no gradient.
FULLER_HD constexpr bool looks_for_them(NonFinite policy) { return policy != NonFinite::propagate; }

/// Whether a step with such a task leaves the rule's state as it was.
FULLER_HD constexpr bool keeps_state(NonFinite policy) { return policy != NonFinite::skip; }

/// Whether the step ends with an exception: at once or, on a device, whose numbers the host does not have yet, later.
FULLER_HD constexpr bool throws(NonFinite policy) { return policy == NonFinite::throw_error; }

/// Whether the heads of some tasks may be left untrained. True also where the policy throws, since on a device steps run on until
/// it can.
FULLER_HD constexpr bool may_leave_out(NonFinite policy) { return policy != NonFinite::propagate; }

/// Whether the head of `task` is left untrained in a step in which the `count` tasks have these conditions.
inline bool leaves_out(NonFinite policy, const Condition* conditions, int /*count*/, int task) {
  return may_leave_out(policy) && conditions[task] == Condition::non_finite;
}

inline const char* name_of(NonFinite policy) {
  switch (policy) {
    case NonFinite::skip:
      return "NonFinite::skip";
    case NonFinite::throw_error:
      return "NonFinite::throw_error";
    default:
      return "NonFinite::propagate";
  }
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
