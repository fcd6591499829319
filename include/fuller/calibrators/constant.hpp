// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of Constant; initialise() refuses those out of range.
struct ConstantOptions {
  /// T weights, finite and >= 0. Must be given.
  TaskVector weights;
};

/// Weights chosen by hand, such as FULLER's 1:1, 1:5 and 1:10 (its Table 1). Needs nothing; no state.
struct Constant {
  static constexpr const char* name = "Constant";
  static constexpr Needs needs{false, false};
  static constexpr Surface default_surface = Surface::last_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::all;

  ConstantOptions options;

  Constant() = default;
  explicit Constant(const ConstantOptions& chosen) : options(chosen) {}
  explicit Constant(const TaskVector& weights) : options{weights} {}

  FULLER_HD int state_size(int) const { return 0; }
  FULLER_HD int scratch_size(int) const { return 0; }
  /// @throws Error unless there is one finite weight >= 0 per task.
  void initialise(int tasks, double*) const {
    detail::require_task_count(name, tasks);
    if (options.weights.empty()) {
      detail::fail("Constant: option weights is empty; give ", tasks, " numbers, one per task");
    }
    detail::require_one_per_task("Constant: option weights", options.weights, tasks, false);
  }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double*, double* weights, double*) const {
    for (int i = lanes.index(); i < evidence.tasks(); i += Lanes::count) {
      weights[i] = evidence.present[i] != 0 ? options.weights[i] : 0;
    }
    lanes.sync();
  }
};

}  // namespace v0_1
}  // namespace fuller
