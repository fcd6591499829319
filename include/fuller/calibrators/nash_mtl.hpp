// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/calibrators/fair_weights.hpp>
#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/core/floating.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of NashMTL; initialise() refuses those out of range.
struct NashMTLOptions {
  /// The greatest length of the update sum_i w_i g_i, >= 0: 1 as in the authors' code. 0: no limit; the update is then sqrt(T)
  /// long.
  double max_norm = 1;
  /// Added to the diagonal of the cosines, in [1e-12, 1e-2]: bounds the weights where gradients can cancel.
  double ridge = 1e-9;
};

/// Nash-MTL, "Multi-task learning as a bargaining game" (Navon et al., ICML 2022), Claim 3.1: the weights alpha > 0 with
/// G alpha = 1 / alpha, by which the update maximises the product of the tasks' gains.
///
/// The authors solve it by a sequence of at most 20 convex programmes. But it is the minimum of one strictly convex
/// function (FairGrad's at alpha = 1), which Newton's method finds here to the last digits: `FairWeights` has the derivation.
/// |g|^2 = alpha^T G alpha = T always, so with `max_norm` = 1 each update is 1 long, whatever the gradients. T = 2: alpha_i = 1 /
/// (n_i sqrt(1 + c)), the direction of u_1 + u_2.
///
/// Pareto-stationary points, rounding: as FairGrad. Scale: gradients times s have weights divided by s, so the update has no
/// unit; a loss scale is divided out first. The authors recompute the weights in every step or every few steps: see
/// CalibrationOptions::every.
///
/// Needs the Gram matrix. No state. Weights multiply the whole loss, as published.
struct NashMTL {
  static constexpr const char* name = "Nash-MTL";
  static constexpr Needs needs{true, false};
  static constexpr Surface default_surface = Surface::all_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::all;

  NashMTLOptions options;

  NashMTL() = default;
  explicit NashMTL(const NashMTLOptions& chosen) : options(chosen) {}

  FULLER_HD int state_size(int) const { return 0; }
  FULLER_HD int scratch_size(int tasks) const { return detail::FairWeights::scratch_size(tasks); }
  /// @throws Error for an option outside its range.
  void initialise(int tasks, double*) const {
    detail::require_task_count(name, tasks);
    detail::require("NashMTL: option max_norm", options.max_norm, options.max_norm >= 0 && detail::is_finite(options.max_norm),
                    "[0, infinity); 0 does not clip");
    detail::require("NashMTL: option ridge", options.ridge, options.ridge >= 1e-12 && options.ridge <= 1e-2, "[1e-12, 1e-2]");
  }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double*, double* weights, double* scratch) const {
    const double length = detail::FairWeights{1, options.ridge}(lanes, evidence, weights, scratch);
    if (options.max_norm > 0 && length > options.max_norm) {
      for (int i = lanes.index(); i < evidence.tasks(); i += Lanes::count) {
        weights[i] *= options.max_norm / length;
      }
      lanes.sync();
    }
  }
};

}  // namespace v0_1
}  // namespace fuller
