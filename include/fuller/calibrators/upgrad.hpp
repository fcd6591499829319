// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/calibrators/unit_gradients.hpp>
#include <fuller/core/lanes.hpp>
#include <fuller/core/nonnegative_qp.hpp>
#include <fuller/core/present_tasks.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of UPGrad.
struct UPGradOptions {
  /// The weights where there is no conflict: 1 / T each, the mean, as in the paper; or 1 each, the sum.
  WeightSum sum = WeightSum::one;
};

/// UPGrad, "Jacobian descent for multi-objective optimization" (Quinton and Rey, 2024): each gradient is projected onto the dual
/// cone {d : <g_j, d> >= 0 for all j}, and the update is the mean of the projections: no loss rises, to first order.
///
/// In terms of the Gram matrix: the projection of g_i is sum_j v_j g_j with v the smallest of v^T G v over v >= e_i. On unit
/// gradients, v = e_i + x: the smallest of x^T C x / 2 + C_i^T x over x >= 0 (`NonnegativeQp`). A task without any conflict keeps
/// its gradient. T = 2: PCGrad's weights over 2. Weights are at least 1 / T.
///
/// The problem is solved as it stands, without the 1e-4 that public code adds to the diagonal: <g_j, d> >= 0 to 1e-13 n_j |d|.
/// Where gradients are dependent the update is unique and the weights are not; those that are found have few non-zero x.
/// Scale: a common factor changes nothing. Rounding: as `NonnegativeQp`. Lanes project different gradients at once, so work space
/// is T^3 doubles.
///
/// Needs the Gram matrix over all shared parameters; heads get plain gradients. No state.
struct UPGrad {
  static constexpr const char* name = "UPGrad";
  static constexpr Needs needs{true, false};
  static constexpr Surface default_surface = Surface::all_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::shared_only;

  UPGradOptions options;

  UPGrad() = default;
  explicit UPGrad(const UPGradOptions& chosen) : options(chosen) {}

  FULLER_HD int state_size(int) const { return 0; }
  FULLER_HD int scratch_size(int tasks) const {
    return detail::UnitGradients::scratch_size(tasks) + tasks * (3 * tasks + detail::NonnegativeQp::scratch_size(tasks));
  }
  void initialise(int tasks, double*) const { detail::require_task_count(name, tasks); }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double*, double* weights, double* scratch) const {
    const auto u = detail::UnitGradients::of(lanes, evidence, scratch);
    const int K = u.K;
    const int each = 3 * K + detail::NonnegativeQp::scratch_size(K);
    for (int i = lanes.index(); i < K; i += Lanes::count) {
      double* const q = u.work + i * each;
      double* const x = q + K;
      bool conflict = false;
      for (int j = 0; j < K; ++j) {
        q[j] = u.C[i * K + j];
        x[j] = 0;
        conflict = conflict || q[j] < 0;
      }
      if (conflict) {
        detail::NonnegativeQp::solve(Serial{}, K, u.C, q, x, x + K, x + 2 * K);
      }
    }
    lanes.sync();
    const double preference = options.sum == WeightSum::one ? 1.0 / K : 1;
    detail::clear_absent(lanes, evidence, weights);
    for (int j = lanes.index(); j < K; j += Lanes::count) {
      double sum = 1;
      for (int i = 0; i < K; ++i) {
        sum += u.work[i * each + K + j] * (u.n[i] / u.n[j]);
      }
      weights[u.index[j]] = preference * sum;
    }
    lanes.sync();
  }
};

}  // namespace v0_1
}  // namespace fuller
