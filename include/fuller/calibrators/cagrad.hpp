// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/calibrators/unit_gradients.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/present_tasks.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of CAGrad; initialise() refuses those out of range.
struct CAGradOptions {
  /// How far the update may be from the mean gradient g_0, as a share of |g_0|, in [0, 100]. 0 gives the mean; 1 or more can give
  /// an update by which no loss falls. 0.4 as in the authors' code.
  double c = 0.4;
  /// What the update is divided by: the authors' code divides by 1 + c^2.
  enum class Rescale { one, one_plus_c_squared };
  Rescale rescale = Rescale::one_plus_c_squared;
};

/// CAGrad, "Conflict-averse gradient descent for multi-task learning" (Liu, Liu, Jin, Stone and Liu, NeurIPS 2021), Eq. 3: the d
/// with |d - g_0| <= c |g_0| whose smallest gain min_i <g_i, d> is largest, g_0 the mean gradient.
///
/// The paper's dual, min_w <g_w, g_0> + c |g_0| |g_w| over the simplex, is no quadratic programme. But d is also the point
/// nearest to g_0 with <g_i, d> >= mu for all i, for the largest mu at which that point is near enough; and for a given mu this
/// is a quadratic programme. On unit gradients, d = g_0 + sum_j x_j u_j: the smallest of x^T C x / 2 + q^T x over x >= 0, q_j =
/// (<g_j, g_0> - mu) / n_j (`NonnegativeQp`). The distance is convex in mu, and its derivative is sum_j x_j / n_j over the
/// distance, so Newton's method within a bracket finds mu to 1e-12 in some eight programmes. mu is at least the smallest
/// <g_i, g_0>, where d = g_0. Weights are 1 / T + x_j / n_j, all over the rescaling.
///
/// Where gradients can cancel no mu > 0 exists; for c >= 1 the result is then mu = 0, the mean's projection onto the dual cone.
///
/// Dependent gradients: the update is unique, the weights are not. Scale: a common factor changes nothing. As published, the
/// longest gradient dominates the mean, so with norms far apart the gains of the short ones are lost in rounding. Rounding: as
/// `NonnegativeQp`.
///
/// Needs the Gram matrix over all shared parameters; heads get plain gradients. No state.
struct CAGrad {
  static constexpr const char* name = "CAGrad";
  static constexpr Needs needs{true, false};
  static constexpr Surface default_surface = Surface::all_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::shared_only;

  CAGradOptions options;

  CAGrad() = default;
  explicit CAGrad(const CAGradOptions& chosen) : options(chosen) {}

  FULLER_HD int state_size(int) const { return 0; }
  FULLER_HD int scratch_size(int tasks) const { return detail::UnitGradients::scratch_size(tasks) + 2 * tasks; }
  /// @throws Error unless c is in [0, 100].
  void initialise(int tasks, double*) const {
    detail::require_task_count(name, tasks);
    detail::require("CAGrad: option c", options.c, options.c >= 0 && options.c <= 100, "[0, 100]");
  }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double*, double* weights, double* scratch) const {
    const int T = evidence.tasks();
    double* const along = scratch;  // <u_j, g_0>, in units of the longest gradient, as all lengths here
    double* const best = scratch + T;
    const auto u = detail::UnitGradients::of(lanes, evidence, scratch + 2 * T);
    const int K = u.K;
    const double unit = u.largest_norm();
    for (int j = lanes.index(); j < K; j += Lanes::count) {
      double sum = 0;
      for (int i = 0; i < K; ++i) {
        sum += u.C[j * K + i] * (u.n[i] / unit) / K;
      }
      along[j] = sum;
      best[j] = 0;
    }
    lanes.sync();
    double square_0 = 0;  // |g_0|^2
    double least = detail::largest_double;
    double shortest = detail::largest_double;
    for (int j = 0; j < K; ++j) {
      square_0 += along[j] * (u.n[j] / unit) / K;
      const double gain = along[j] * (u.n[j] / unit);
      least = gain < least ? gain : least;
      shortest = u.n[j] < shortest ? u.n[j] : shortest;
    }
    const double r = options.c * std::sqrt(detail::larger(square_0, 0));
    search(lanes, u, unit, along, best, r, least, (1 + options.c) * std::sqrt(detail::larger(square_0, 0)) * (shortest / unit));

    const double scale = options.rescale == CAGradOptions::Rescale::one ? 1 : 1 / (1 + options.c * options.c);
    detail::clear_absent(lanes, evidence, weights);
    for (int j = lanes.index(); j < K; j += Lanes::count) {
      weights[u.index[j]] = (1.0 / K + best[j] * (unit / u.n[j])) * scale;
    }
    lanes.sync();
  }

 private:
  static constexpr int most_trials = 100;

  /// Leaves in `best` the x of the largest mu in [low, high] with |sum_j x_j u_j| <= r.
  template <class Lanes>
  FULLER_HD static void search(Lanes lanes, const detail::UnitGradients& u, double unit, const double* along, double* best,
                               double r, double low, double high) {
    if (!(r > 0) || !(high > low)) {
      return;
    }
    const double resolution = detail::rounding_noise * (high - low);
    double mu = low < 0 && high > 0 ? 0 : (low + high) / 2;
    for (int trial = 0; trial < most_trials; ++trial) {
      for (int j = lanes.index(); j < u.K; j += Lanes::count) {
        u.q[j] = along[j] - mu * (unit / u.n[j]);
      }
      lanes.sync();
      const bool feasible = u.solve(lanes);
      // |sum x_j u_j|^2 = -x^T q, since x^T (C x + q) = 0; its derivative in mu is 2 sum_j x_j unit / n_j.
      double square = 0;
      double slope = 0;
      for (int j = 0; j < u.K; ++j) {
        square -= u.x[j] * u.q[j];
        slope += 2 * u.x[j] * (unit / u.n[j]);
      }
      const double distance = std::sqrt(detail::larger(square, 0));
      const bool reached = feasible && distance <= r * (1 + detail::rounding_noise);
      lanes.sync();
      if (reached) {
        for (int j = lanes.index(); j < u.K; j += Lanes::count) {
          best[j] = u.x[j];
        }
        lanes.sync();
        low = mu;
      } else {
        high = mu;
      }
      if (reached && distance >= r * (1 - detail::rounding_noise)) {
        return;
      }
      const double next = feasible && slope > 0 ? mu + (r - distance) * 2 * distance / slope : (low + high) / 2;
      mu = next > low && next < high ? next : (low + high) / 2;
      if (!(high - low > resolution)) {
        return;
      }
    }
  }
};

}  // namespace v0_1
}  // namespace fuller
