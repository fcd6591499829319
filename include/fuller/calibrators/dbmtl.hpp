// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/core/floating.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of DBMTL; initialise() refuses those out of range.
struct DBMTLOptions {
  /// Decay of the mean lengths of the gradients, in [0, 1): 0 looks at this step alone.
  double beta = 0.9;
  /// In a task's k-th step the decay is beta / k^sigma; in [0, 100].
  double sigma = 0;
};

/// DB-MTL, "Dual-balancing for multi-task learning" (Lin, Jiang, Ye, Zhang, Chen, Chen, Liu and Kwok, 2023), Algorithm 1: losses
/// are balanced by their logarithm, gradients by making each as long as the longest. With h_i = grad log(L_i + 1e-8) the update
/// is sum_i alpha_i h_i, alpha_i = max_j |h_j| / |h_i|.
///
/// In terms of the evidence: |h_i| = n_i / (L_i + 1e-8), and the weight of g_i is alpha_i / (L_i + 1e-8). For beta = 0 that
/// is w_i = max_j |h_j| / n_i: the direction of sum u_i, as long as the longest h makes it.
///
/// Reading. The paper keeps moving means of gradients: h^_i <- h_i + (beta / k^sigma)(h^_i - h_i), T copies of all shared
/// parameters. Here moving means of their lengths are kept in the same way, T numbers. For beta = 0 this is the paper's update;
/// otherwise alpha comes from means of lengths instead of lengths of means, and multiplies this step's gradient instead of the
/// mean one. A task's mean begins with its first length. A loss below 0 has no logarithm and counts as 0.
///
/// Rounding: lengths are compared only to find the largest. Scale: a common factor on gradients changes nothing; a factor on a
/// loss and its gradient divides that task's weight, as it does with a logarithm.
///
/// Needs Gram matrix (its diagonal) and losses. State per task: mean length, steps.
struct DBMTL {
  static constexpr const char* name = "DB-MTL";
  static constexpr Needs needs{true, true};
  static constexpr Surface default_surface = Surface::all_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::shared_only;
  static constexpr bool positive_losses = true;

  DBMTLOptions options;

  DBMTL() = default;
  explicit DBMTL(const DBMTLOptions& chosen) : options(chosen) {}

  FULLER_HD int state_size(int tasks) const { return 2 * tasks; }
  FULLER_HD int scratch_size(int) const { return 0; }
  /// @throws Error unless beta is in [0, 1) and sigma in [0, 100].
  void initialise(int tasks, double* state) const {
    detail::require_task_count(name, tasks);
    detail::require("DBMTL: option beta", options.beta, options.beta >= 0 && options.beta < 1, "[0, 1)");
    detail::require("DBMTL: option sigma", options.sigma, options.sigma >= 0 && options.sigma <= 100, "[0, 100]");
    for (int k = 0; k < 2 * tasks; ++k) {
      state[k] = 0;
    }
  }

  /// @throws Error for numbers that no step leaves in the state.
  void check_state(int tasks, const double* state) const {
    for (int k = 0; k < 2 * tasks; ++k) {
      detail::require_saved(name, k < tasks ? "mean length" : "count of steps", k % tasks, state[k],
                            detail::is_finite(state[k]) && state[k] >= 0);
    }
  }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double* state, double* weights, double*) const {
    const int T = evidence.tasks();
    double* const length = state;
    double* const steps = state + T;
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      if (evidence.present[i] != 0) {
        const double now = evidence.norm(i) / evidence.loss_scale / of_logarithm(evidence.losses[i]);
        steps[i] += 1;
        const double kept = steps[i] > 1 ? options.beta * std::pow(steps[i], -options.sigma) : 0;
        length[i] = now + kept * (length[i] - now);
      }
    }
    lanes.sync();
    double longest = 0;
    for (int i = 0; i < T; ++i) {
      longest = evidence.present[i] != 0 ? detail::larger(longest, length[i]) : longest;
    }
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      weights[i] = evidence.present[i] != 0 ? longest / length[i] / of_logarithm(evidence.losses[i]) : 0;
    }
    lanes.sync();
  }

 private:
  /// The divisor in the derivative of the logarithm.
  FULLER_HD static double of_logarithm(double loss) { return detail::larger(loss, 0) + 1e-8; }
};

}  // namespace v0_1
}  // namespace fuller
