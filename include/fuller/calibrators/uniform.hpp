// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of Uniform.
struct UniformOptions {
  /// `tasks`: weights of 1, the plain sum of the losses. `one`: their mean.
  WeightSum sum = WeightSum::tasks;
};

/// The same weight for every task: the summed (or mean) loss that other rules are compared with. Needs nothing; no state.
struct Uniform {
  static constexpr const char* name = "Uniform";
  static constexpr Needs needs{false, false};
  static constexpr Surface default_surface = Surface::last_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::all;

  UniformOptions options;

  Uniform() = default;
  explicit Uniform(const UniformOptions& chosen) : options(chosen) {}

  FULLER_HD int state_size(int) const { return 0; }
  FULLER_HD int scratch_size(int) const { return 0; }
  void initialise(int tasks, double*) const { detail::require_task_count(name, tasks); }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double*, double* weights, double*) const {
    const int T = evidence.tasks();
    int K = 0;
    for (int i = 0; i < T; ++i) {
      K += evidence.present[i] != 0 ? 1 : 0;
    }
    const double weight = options.sum == WeightSum::tasks ? 1.0 : 1.0 / K;
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      weights[i] = evidence.present[i] != 0 ? weight : 0;
    }
    lanes.sync();
  }
};

}  // namespace v0_1
}  // namespace fuller
