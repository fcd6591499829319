// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/calibrators/unit_gradients.hpp>
#include <fuller/core/present_tasks.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of DualProj.
struct DualProjOptions {
  /// The weights where there is no conflict: 1 / T each, the mean; or 1 each, the sum.
  WeightSum sum = WeightSum::one;
};

/// DualProj, "Gradient episodic memory for continual learning" (Lopez-Paz and Ranzato, NeurIPS 2017), Eq. 11, for tasks instead
/// of memories: the mean gradient is projected onto the dual cone {d : <g_j, d> >= 0 for all j}.
///
/// In terms of the Gram matrix: the update is sum_j v_j g_j with v the smallest of v^T G v over v >= 1 / T. On unit gradients,
/// with n the longest norm and v_j = 1 / T + x_j n / n_j: the smallest of x^T C x / 2 + q^T x over x >= 0, q_j = <u_j, mean> / n
/// (`NonnegativeQp`). Weights are at least 1 / T.
///
/// Dependent gradients, scale and rounding: as for UPGrad, which projects before it takes the mean.
///
/// Needs the Gram matrix over all shared parameters; heads get plain gradients. No state.
struct DualProj {
  static constexpr const char* name = "DualProj";
  static constexpr Needs needs{true, false};
  static constexpr Surface default_surface = Surface::all_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::shared_only;

  DualProjOptions options;

  DualProj() = default;
  explicit DualProj(const DualProjOptions& chosen) : options(chosen) {}

  FULLER_HD int state_size(int) const { return 0; }
  FULLER_HD int scratch_size(int tasks) const { return detail::UnitGradients::scratch_size(tasks); }
  void initialise(int tasks, double*) const { detail::require_task_count(name, tasks); }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double*, double* weights, double* scratch) const {
    const auto u = detail::UnitGradients::of(lanes, evidence, scratch);
    const double longest = u.largest_norm();
    for (int j = lanes.index(); j < u.K; j += Lanes::count) {
      double sum = 0;
      for (int i = 0; i < u.K; ++i) {
        sum += u.C[j * u.K + i] * (u.n[i] / longest);
      }
      u.q[j] = sum;
    }
    lanes.sync();
    u.solve(lanes);
    const double preference = options.sum == WeightSum::one ? 1.0 / u.K : 1;
    detail::clear_absent(lanes, evidence, weights);
    for (int j = lanes.index(); j < u.K; j += Lanes::count) {
      weights[u.index[j]] = preference * (1 + u.x[j] * (longest / u.n[j]));
    }
    lanes.sync();
  }
};

}  // namespace v0_1
}  // namespace fuller
