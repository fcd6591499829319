// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <fuller/calibrators/weighting.hpp>
#include <fuller/core/error.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// What NonFinite::throw_error throws for.
inline bool is_failure(Condition condition) { return condition == Condition::zero || condition == Condition::non_finite; }

[[noreturn]] inline void throw_failure(std::int64_t step, const std::string& task, Condition condition) {
  throw NonFiniteError(message(
      "in step ", step, " task '", task, "' has a ",
      condition == Condition::zero ? "zero gradient" : "gradient or loss that is NaN or infinite, or <= 0 under a loss stage",
      "; see NonFinite for policies that go on"));
}

/// Throws for the first failure among the conditions of a step; for none where `step` is -1.
inline void expect_no_failure(std::int64_t step, const std::vector<std::string>& tasks,
                              const std::vector<Condition>& conditions) {
  for (std::size_t i = 0; step >= 0 && i < conditions.size(); ++i) {
    if (is_failure(conditions[i])) {
      throw_failure(step, tasks[i], conditions[i]);
    }
  }
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
