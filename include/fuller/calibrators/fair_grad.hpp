// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/calibrators/fair_weights.hpp>
#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/core/floating.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of FairGrad; initialise() refuses those out of range.
struct FairGradOptions {
  /// Fairness, in [0.1, 10]: towards 0 it is the plain sum (Uniform), at 1 proportional fairness (NashMTL), and towards infinity
  /// the smallest gain becomes as large as possible.
  double alpha = 1;
  /// Added to the diagonal of the cosines, in [1e-12, 1e-2]: bounds the weights where gradients can cancel, by about
  /// sqrt(T / ridge) / n_i.
  double ridge = 1e-9;
  /// 1 as in the paper; `tasks` multiplies by T, as the authors' code does "to match the sum loss".
  WeightSum sum = WeightSum::one;
};

/// FairGrad, "Fair resource allocation in multi-task learning" (Ban and Ji, ICML 2024), Eq. 3: the update d = sum_i w_i g_i with
/// sum_i <g_i, d>^(1 - alpha) / (1 - alpha) largest in a ball; its optimality conditions are G w = w^(-1/alpha), w > 0.
///
/// In terms of the Gram matrix: one strictly convex problem, solved by Newton's method with a T x T Cholesky factorisation, in
/// doubles and on unit gradients, so that norms 1e8 apart cost no digit up to alpha = 3 (for a larger alpha, where some weights
/// are almost 0, norms 10 apart); `FairWeights` has the derivation. One gradient:
/// w = n^(-2 alpha / (1 + alpha)). Two, alpha = 1: w_i = 1 / (n_i sqrt(1 + c)).
///
/// At Pareto-stationary points (gradients that can cancel) there is no solution; the ridge gives one with large weights, under
/// which the gradients cancel.
///
/// Rounding: the solution is unique and depends smoothly on the products; no sign decides. Scale: gradients times s change the
/// weights by s^(-2 alpha / (1 + alpha)), as in the paper, and leave the direction; a loss scale is divided out first.
///
/// Needs the Gram matrix. No state. Heads get plain gradients, as in the authors' code.
struct FairGrad {
  static constexpr const char* name = "FairGrad";
  static constexpr Needs needs{true, false};
  static constexpr Surface default_surface = Surface::all_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::shared_only;

  FairGradOptions options;

  FairGrad() = default;
  explicit FairGrad(const FairGradOptions& chosen) : options(chosen) {}

  FULLER_HD int state_size(int) const { return 0; }
  FULLER_HD int scratch_size(int tasks) const { return detail::FairWeights::scratch_size(tasks); }
  /// @throws Error for an option outside its range.
  void initialise(int tasks, double*) const {
    detail::require_task_count(name, tasks);
    detail::require("FairGrad: option alpha", options.alpha, options.alpha >= 0.1 && options.alpha <= 10,
                    "[0.1, 10]; its limit towards 0 is Uniform");
    detail::require("FairGrad: option ridge", options.ridge, options.ridge >= 1e-12 && options.ridge <= 1e-2, "[1e-12, 1e-2]");
  }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double*, double* weights, double* scratch) const {
    detail::FairWeights{options.alpha, options.ridge}(lanes, evidence, weights, scratch);
    if (options.sum == WeightSum::tasks) {
      int K = 0;
      for (int i = 0; i < evidence.tasks(); ++i) {
        K += evidence.present[i] != 0 ? 1 : 0;
      }
      for (int i = lanes.index(); i < evidence.tasks(); i += Lanes::count) {
        weights[i] *= K;
      }
      lanes.sync();
    }
  }
};

}  // namespace v0_1
}  // namespace fuller
