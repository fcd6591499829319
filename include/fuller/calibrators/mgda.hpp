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
/// factor changes nothing. Rounding: as `NonnegativeQp`. Gradients that cancel beside one that is 1e12 times as short are found
/// by their directions alone.
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
    auto u = detail::UnitGradients::of(lanes, evidence, scratch);
    double shortest = detail::largest_double;
    int first = 0;
    for (int i = 0; i < u.K; ++i) {
      first = u.n[i] < shortest ? i : first;
      shortest = u.n[first];
    }
    bool found = solve(lanes, u, shortest) && sum_of_weights(u, shortest) > 0;
    if (!found) {  // what cancels beside a gradient that is 1e4 times as short, and more, shows in the directions alone
      u = detail::UnitGradients::of(lanes, evidence, scratch);
      solve(lanes, u, 0);
      found = length_of_directions(u) < sum_of_weights(u, shortest);
    }
    const double sum = sum_of_weights(u, shortest);
    detail::clear_absent(lanes, evidence, weights);
    for (int i = lanes.index(); i < u.K; i += Lanes::count) {
      weights[u.index[i]] = found ? u.x[i] * (shortest / u.n[i]) / sum : i == first ? 1 : 0;
    }
    lanes.sync();
  }

 private:
  /// What a unit gradient's share is multiplied with to be the gradient's weight, but for a factor; 1 without a shortest one.
  FULLER_HD static double unit(const detail::UnitGradients& u, double shortest, int i) {
    return shortest > 0 ? shortest / u.n[i] : 1;
  }

  FULLER_HD static double sum_of_weights(const detail::UnitGradients& u, double shortest) {
    double sum = 0;
    for (int i = 0; i < u.K; ++i) {
      sum += u.x[i] * unit(u, shortest, i);
    }
    return sum;
  }

  /// The shares of unit gradients in the shortest vector of the hull of gradients, or, without a shortest one, of their
  /// directions; false where they could not be found.
  template <class Lanes>
  FULLER_HD static bool solve(Lanes lanes, const detail::UnitGradients& u, double shortest) {
    for (int i = lanes.index(); i < u.K; i += Lanes::count) {
      u.q[i] = -unit(u, shortest, i);
      for (int j = 0; j < u.K; ++j) {
        u.C[i * u.K + j] += unit(u, shortest, i) * unit(u, shortest, j);
      }
    }
    lanes.sync();
    return u.solve(lanes);
  }

  /// | sum_i x_i u_i | after solve() without a shortest one, whose y is C x + (sum_i x_i) - 1, or what rounding may have hidden
  /// of it.
  FULLER_HD static double length_of_directions(const detail::UnitGradients& u) {
    const double sum = sum_of_weights(u, 0);
    double square = -sum * sum;
    for (int i = 0; i < u.K; ++i) {
      square += u.x[i] * (u.y[i] + 1);
    }
    return std::sqrt(detail::larger(square, 1e-15 * u.K * sum * sum));
  }
};

}  // namespace v0_1
}  // namespace fuller
