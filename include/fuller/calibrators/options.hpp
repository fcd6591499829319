// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/error.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/task_vector.hpp>

namespace fuller {
inline namespace v0_1 {

/// What the weights of a step add up to.
enum class WeightSum {
  one,    ///< 1
  tasks,  ///< the number of tasks in the step
};

namespace detail {

/// Throws Error unless `holds`, which says whether the value lies in `range`.
inline void require(const char* option, double value, bool holds, const char* range) {
  if (!holds) {
    fail(option, " is ", value, "; it must lie in ", range);
  }
}

/// Throws Error unless `holds`, which says whether a step can leave this value in a saved state.
inline void require_saved(const char* rule, const char* what, int i, double value, bool holds) {
  if (!holds) {
    fail("in the saved state of ", rule, " the ", what, " of number ", i, " is ", value,
         ", which no step leaves: the file is damaged, load an earlier one");
  }
}

/// Throws Error unless value > 0 and value is finite.
inline void require_positive(const char* option, double value) {
  if (!(value > 0 && is_finite(value))) {
    fail(option, " is ", value, "; it must be finite and > 0");
  }
}

/// Throws Error unless `values` is empty or holds T finite numbers >= 0 (> 0 if `positive`).
inline void require_one_per_task(const char* option, const TaskVector& values, int tasks, bool positive) {
  if (values.empty()) {
    return;
  }
  if (values.size() != tasks) {
    fail(option, " has ", values.size(), " values for ", tasks, " tasks; give one per task, or none");
  }
  for (int i = 0; i < tasks; ++i) {
    if (!is_finite(values[i]) || values[i] < 0 || (positive && values[i] == 0)) {
      fail(option, "[", i, "] is ", values[i], "; it must be finite and ", positive ? "> 0" : ">= 0");
    }
  }
}

/// Throws Error unless 1 <= tasks <= TaskVector::capacity.
inline void require_task_count(const char* rule, int tasks) {
  if (tasks < 1 || tasks > TaskVector::capacity) {
    fail(rule, " is asked for ", tasks, " tasks; it takes 1 to ", TaskVector::capacity,
         tasks < 1 ? ": name one per loss"
                   : ": add up the losses that need no weight of their own, and name their sum as one task");
  }
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
