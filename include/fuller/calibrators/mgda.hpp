// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/calibrators/unit_gradients.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/present_tasks.hpp>

namespace fuller {
inline namespace v0_1 {

/// MGDA, "Multi-task learning as multi-objective optimization" (Sener and Koltun, NeurIPS 2018), Eq. 3: the shortest vector of
/// the convex hull of the gradients, g = sum_i w_i g_i with w >= 0 and sum w = 1. Every gradient's product with it is at least
/// |g|^2: (G w)_i >= w^T G w, with equality where w_i > 0.
///
/// Derivation. With A = C + tau tau^T, tau_i = n_min / n_i, the smallest of x^T A x / 2 - tau^T x over x >= 0 (`NonnegativeQp`)
/// has A x >= tau, equality where x_i > 0: C x >= (1 - tau^T x) tau. That is the condition above for w_i ~ tau_i x_i. T = 2: w_1
/// = (G_22 - G_12) / (G_11 + G_22 - 2 G_12), within [0, 1]. Public code searches by Frank-Wolfe to 1e-3, or fails for long
/// gradients; this is exact.
///
/// These properties are the problem's, however it is solved: the shortest gradient dominates the step, and a task whose gradient
/// is longer and agrees with it gets the weight 0 (and so does its head, if weights multiply whole losses). At
/// Surface::representation this is the paper's MGDA-UB.
///
/// Dependent gradients: the update is unique, the weights are not; those that are found have few that are not 0. Scale: a common
/// factor changes nothing. Rounding: as `NonnegativeQp`.
///
/// Needs the Gram matrix. No state. Weights multiply whole losses, as published.
struct MGDA {
  static constexpr const char* name = "MGDA";
  static constexpr Needs needs{true, false};
  static constexpr Surface default_surface = Surface::all_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::all;

  FULLER_HD int state_size(int) const { return 0; }
  FULLER_HD int scratch_size(int tasks) const { return detail::UnitGradients::scratch_size(tasks); }
  void initialise(int tasks, double*) const { detail::require_task_count(name, tasks); }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double*, double* weights, double* scratch) const {
    const auto u = detail::UnitGradients::of(lanes, evidence, scratch);
    double shortest = detail::largest_double;
    for (int i = 0; i < u.K; ++i) {
      shortest = u.n[i] < shortest ? u.n[i] : shortest;
    }
    for (int i = lanes.index(); i < u.K; i += Lanes::count) {
      u.q[i] = -(shortest / u.n[i]);
      for (int j = 0; j < u.K; ++j) {
        u.C[i * u.K + j] += (shortest / u.n[i]) * (shortest / u.n[j]);
      }
    }
    lanes.sync();
    u.solve(lanes);
    double sum = 0;
    for (int i = 0; i < u.K; ++i) {
      sum += u.x[i] * (shortest / u.n[i]);
    }
    detail::clear_absent(lanes, evidence, weights);
    for (int i = lanes.index(); i < u.K; i += Lanes::count) {
      weights[u.index[i]] = u.x[i] * (shortest / u.n[i]) / sum;
    }
    lanes.sync();
  }
};

}  // namespace v0_1
}  // namespace fuller
