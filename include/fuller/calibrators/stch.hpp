// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/core/floating.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of STCH; initialise() refuses those out of range.
struct STCHOptions {
  /// mu > 0: the smaller, the more of the weight the largest loss gets.
  double mu = 1;
  /// T preferences lambda_i >= 0. Empty: all 1.
  TaskVector preference;
  /// T ideal losses z_i >= 0. Empty: all 0.
  TaskVector ideal;
};

/// STCH, "Smooth Tchebycheff scalarization for multi-objective optimization" (Lin et al., ICML 2024), Eq. 8: the smooth maximum
/// mu log sum_i exp(lambda_i (L_i - z_i) / mu). The weight of L_i is its derivative, lambda_i softmax_i(lambda (L - z) / mu).
///
/// Losses are compared by their values, so they must be in the same unit (one public code divides by a mean of warm-up epochs
/// and takes logarithms). Without preferences weights add up to 1.
///
/// Scale: a factor on all losses acts as the same factor on 1 / mu. Rounding: exponents are shifted by the largest; nothing else
/// is compared.
///
/// Needs the losses. No state.
struct STCH {
  static constexpr const char* name = "STCH";
  static constexpr Needs needs{false, true};
  static constexpr Surface default_surface = Surface::last_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::all;

  STCHOptions options;

  STCH() = default;
  explicit STCH(const STCHOptions& chosen) : options(chosen) {}

  FULLER_HD int state_size(int) const { return 0; }
  FULLER_HD int scratch_size(int tasks) const { return tasks; }
  /// @throws Error unless mu is finite and > 0, and preferences and ideals one number >= 0 per task, or none.
  void initialise(int tasks, double*) const {
    detail::require_task_count(name, tasks);
    detail::require_positive("STCH: option mu", options.mu);
    detail::require_one_per_task("STCH: option preference", options.preference, tasks, false);
    detail::require_one_per_task("STCH: option ideal", options.ideal, tasks, false);
  }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double*, double* weights, double* scratch) const {
    const int T = evidence.tasks();
    double* const exponent = scratch;
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      const double ideal = options.ideal.empty() ? 0 : options.ideal[i];
      exponent[i] = evidence.present[i] != 0 ? preference(i) * (evidence.losses[i] - ideal) / options.mu : 0;
    }
    lanes.sync();
    double largest = -detail::largest_double;
    for (int i = 0; i < T; ++i) {
      largest = evidence.present[i] != 0 ? detail::larger(largest, exponent[i]) : largest;
    }
    double sum = 0;
    for (int i = 0; i < T; ++i) {
      sum += evidence.present[i] != 0 ? std::exp(exponent[i] - largest) : 0;
    }
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      weights[i] = evidence.present[i] != 0 ? preference(i) * (std::exp(exponent[i] - largest) / sum) : 0;
    }
    lanes.sync();
  }

 private:
  FULLER_HD double preference(int i) const { return options.preference.empty() ? 1 : options.preference[i]; }
};

}  // namespace v0_1
}  // namespace fuller
