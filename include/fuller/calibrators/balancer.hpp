// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/core/floating.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of Balancer; initialise() refuses those out of range.
struct BalancerOptions {
  /// T shares > 0 of the update that the tasks are to have; only their ratios matter. Empty: equal shares.
  TaskVector shares;
  /// R > 0: how long the update would be if all gradients were parallel and as long as their means.
  double total_norm = 1;
  /// Decay of the mean norms, in [0, 1).
  double decay = 0.999;
};

/// The loss balancer of EnCodec, "High fidelity neural audio compression" (Defossez, Copet, Synnaeve and Adi, 2022), Eq. 5: each
/// gradient at one tensor, the model's output, is divided by the moving mean of its norm and gets a fixed share of the update:
/// w_i = R lambda_i / sum_k lambda_k / <n_i>. The share of a loss is then what its weight says, whatever its unit.
///
/// <n_i> = sum_k decay^k n_i / sum_k decay^k over the steps that had the task. With data-parallel ranks, and at the
/// representation, the norms are those of the one big batch. The authors add 1e-12 to the norm; here a gradient that is 0 is left
/// out before.
///
/// Scale: gradients times s have weights divided by s, once the mean has followed; a loss scale is divided out first. Rounding:
/// nothing is compared.
///
/// Needs the Gram matrix (its diagonal). State per task: sum of norms, sum of their factors.
struct Balancer {
  static constexpr const char* name = "Balancer";
  static constexpr Needs needs{true, false};
  static constexpr Surface default_surface = Surface::representation;
  static constexpr ApplyTo default_apply_to = ApplyTo::all;

  BalancerOptions options;

  Balancer() = default;
  explicit Balancer(const BalancerOptions& chosen) : options(chosen) {}

  FULLER_HD int state_size(int tasks) const { return 2 * tasks; }
  FULLER_HD int scratch_size(int) const { return 0; }
  /// @throws Error for an option outside its range, or shares that are not one positive number per task.
  void initialise(int tasks, double* state) const {
    detail::require_task_count(name, tasks);
    detail::require_one_per_task("Balancer: option shares", options.shares, tasks, true);
    detail::require_positive("Balancer: option total_norm", options.total_norm);
    detail::require("Balancer: option decay", options.decay, options.decay >= 0 && options.decay < 1, "[0, 1)");
    for (int k = 0; k < 2 * tasks; ++k) {
      state[k] = 0;
    }
  }

  /// @throws Error for numbers that no step leaves in the state.
  void check_state(int tasks, const double* state) const {
    for (int k = 0; k < 2 * tasks; ++k) {
      detail::require_saved(name, k < tasks ? "sum of norms" : "sum of factors", k % tasks, state[k],
                            detail::is_finite(state[k]) && state[k] >= 0);
    }
  }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double* state, double* weights, double*) const {
    const int T = evidence.tasks();
    double all = 0;
    for (int i = 0; i < T; ++i) {
      all += evidence.present[i] != 0 ? share(i) : 0;
    }
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      weights[i] = 0;
      if (evidence.present[i] != 0) {
        state[i] = options.decay * state[i] + evidence.norm(i) / evidence.loss_scale;
        state[T + i] = options.decay * state[T + i] + 1;
        weights[i] = options.total_norm * (share(i) / all) * (state[T + i] / state[i]);
      }
    }
    lanes.sync();
  }

 private:
  FULLER_HD double share(int i) const { return options.shares.empty() ? 1 : options.shares[i]; }
};

}  // namespace v0_1
}  // namespace fuller
