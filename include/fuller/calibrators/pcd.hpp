// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>

#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/calibrators/unit_gradients.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/present_tasks.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of PCD; initialise() refuses those out of range.
struct PCDOptions {
  /// The number of the primary task, from 0.
  int primary = 0;
  /// Every other task gains at least this share of what a step along its normalised gradient would give it, in [0, 1].
  double tau = 0.02;
  /// Decay of the mean squared norms, in [0, 1).
  double beta = 0.999;
  /// Added to the mean squared norms, > 0, and in the same unit.
  double epsilon = 1e-8;
};

/// PCD, "Priority-constrained descent" (TMLR 2026): a primary task is trained, and the others are kept from getting worse. With
/// normalised gradients g~_i = s_i g_i, s_i = 1 / sqrt(v_i + epsilon), v_i the moving mean of n_i^2 (decay beta, corrected for
/// its start), the update is the d nearest to g~_1 with <g~_j, d> >= tau |g~_j|^2 for all other tasks j, made as long as g_1.
///
/// In terms of the Gram matrix: d = g~_1 + sum_j x_j u_j with u_j = g_j / n_j and x the smallest of x^T C x / 2 + q^T x over x >=
/// 0, q_j = <u_j, g~_1> - tau |g~_j| (`NonnegativeQp`); the weights are (s_1, x_j / n_j) |g_1| / |d|. T = 2: x_2 = max(0, -q_2).
///
/// Where no d meets all constraints (gradients that can cancel), the step is along the primary task's gradient alone. In a step
/// without the primary task the update is the sum of the other gradients.
///
/// Scale: epsilon has the unit of a squared gradient; a loss scale is divided out first. Rounding: as `NonnegativeQp`.
///
/// Needs the Gram matrix over all shared parameters; heads get plain gradients. State per task: mean square, steps.
struct PCD {
  static constexpr const char* name = "PCD";
  static constexpr Needs needs{true, false};
  static constexpr Surface default_surface = Surface::all_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::shared_only;

  PCDOptions options;

  PCD() = default;
  explicit PCD(const PCDOptions& chosen) : options(chosen) {}

  FULLER_HD int state_size(int tasks) const { return 2 * tasks; }
  FULLER_HD int scratch_size(int tasks) const {
    return detail::doubles_for_bytes(tasks) + detail::UnitGradients::scratch_size(tasks);
  }
  /// @throws Error for an option outside its range, and a primary task that there is not.
  void initialise(int tasks, double* state) const {
    detail::require_task_count(name, tasks);
    if (options.primary < 0 || options.primary >= tasks) {
      detail::fail("PCD: option primary is ", options.primary, "; it must be the number of a task, 0 to ", tasks - 1);
    }
    detail::require("PCD: option tau", options.tau, options.tau >= 0 && options.tau <= 1, "[0, 1]");
    detail::require("PCD: option beta", options.beta, options.beta >= 0 && options.beta < 1, "[0, 1)");
    detail::require_positive("PCD: option epsilon", options.epsilon);
    for (int k = 0; k < 2 * tasks; ++k) {
      state[k] = 0;
    }
  }

  /// @throws Error for numbers that no step leaves in the state.
  void check_state(int tasks, const double* state) const {
    for (int i = 0; i < tasks; ++i) {
      const double steps = state[tasks + i];
      detail::require_saved(name, "count of steps", i, steps, steps >= 0 && steps < 1e15 && steps == std::floor(steps));
      // 0 before the first step; after that a mean of numbers that are finite, and so is what its corrected start makes of it.
      const double mean = state[i];
      const bool sound = steps > 0 ? detail::is_finite(mean / (1 - std::pow(options.beta, steps))) : mean == 0;
      detail::require_saved(name, "mean square", i, mean, mean >= 0 && sound);
    }
  }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double* state, double* weights, double* scratch) const {
    const int T = evidence.tasks();
    detail::Scratch work(scratch);
    std::uint8_t* const is_other = work.bytes(T);
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      is_other[i] = i == options.primary ? 0 : evidence.present[i];
      if (evidence.present[i] != 0) {
        const double n = evidence.norm(i) / evidence.loss_scale;
        state[i] = options.beta * state[i] + (1 - options.beta) * (n * n);
        state[T + i] += 1;
      }
    }
    lanes.sync();
    detail::clear_absent(lanes, evidence, weights);
    const int first = options.primary;
    if (evidence.present[first] == 0) {
      for (int i = lanes.index(); i < T; i += Lanes::count) {
        weights[i] = is_other[i] != 0 ? 1 : 0;
      }
      lanes.sync();
      return;
    }
    Evidence<Tasks> others = evidence;
    others.present = is_other;
    const auto u = detail::UnitGradients::of(lanes, others, work.rest());
    const double length_1 = normalised(evidence, state, first);
    for (int j = lanes.index(); j < u.K; j += Lanes::count) {
      const double cosine = evidence.dot(u.index[j], first) / (u.n[j] * evidence.norm(first));
      u.q[j] = cosine * length_1 - options.tau * normalised(evidence, state, u.index[j]);
    }
    lanes.sync();
    const bool feasible = u.solve(lanes);
    // |d|^2 = <d, g~_1> + sum_j x_j <u_j, d>, and <u_j, d> = tau |g~_j| where x_j > 0.
    double square = length_1 * length_1;
    for (int j = 0; j < u.K && feasible; ++j) {
      square += u.x[j] * (u.q[j] + 2 * options.tau * normalised(evidence, state, u.index[j]));
    }
    const double length = square > 0 ? std::sqrt(square) : length_1;
    for (int j = lanes.index(); j < u.K; j += Lanes::count) {
      weights[u.index[j]] = feasible ? u.x[j] / length * (evidence.norm(first) / u.n[j]) : 0;
    }
    if (lanes.index() == 0) {
      weights[first] = length_1 / length;
    }
    lanes.sync();
  }

 private:
  /// |g~_i|
  template <int Tasks>
  FULLER_HD double normalised(const Evidence<Tasks>& evidence, const double* state, int i) const {
    const double steps = state[evidence.tasks() + i];
    const double mean_square = state[i] / (1 - std::pow(options.beta, steps));
    return evidence.norm(i) / evidence.loss_scale / std::sqrt(mean_square + options.epsilon);
  }
};

}  // namespace v0_1
}  // namespace fuller
