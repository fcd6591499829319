// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/calibrators/learnt_scales.hpp>
#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of UW; initialise() refuses those out of range.
struct UWOptions {
  /// The learning rate of Adam on the log variances, > 0. Published code trains them with the network, by its optimiser.
  double learning_rate = 1e-2;
  /// The log variances s_i to start from, each in [-30, 30]. Empty: 0.
  TaskVector initial;
};

/// Uncertainty weighting, "Multi-task learning using uncertainty to weigh losses for scene geometry and semantics" (Kendall, Gal
/// and Cipolla, CVPR 2018): the sum of e^(-s_i) L_i / 2 + s_i / 2 with learnt log variances s_i, in the regression form of Eq. 7
/// for every task. The weight of L_i is e^(-s_i) / 2; s_i follows the gradient (1 - e^(-s_i) L_i) / 2 by Adam, and L_i = e^(s_i)
/// is its fixed point.
///
/// Reading. s_i is state of the rule and no parameter of the network: no weight decay pulls it, and no second optimiser is
/// needed. A step trains with the weights from before its update of s_i. s_i stays within [-30, 30], so that no weight overflows.
///
/// Scale: a factor on a loss is divided out in time; gradients are not used. Rounding: nothing is compared.
///
/// Needs the losses. State per task: s_i and Adam's moments.
struct UW {
  static constexpr const char* name = "UW";
  static constexpr Needs needs{false, true};
  static constexpr Surface default_surface = Surface::last_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::all;
  static constexpr bool positive_losses = true;

  UWOptions options;

  UW() = default;
  explicit UW(const UWOptions& chosen) : options(chosen) {}

  FULLER_HD int state_size(int tasks) const { return detail::LearntScales::state_size(tasks); }
  FULLER_HD int scratch_size(int) const { return 0; }
  /// @throws Error for a learning rate that is not > 0, or starts that are not one number in [-30, 30] per task.
  void initialise(int tasks, double* state) const {
    detail::require_task_count(name, tasks);
    detail::require_positive("UW: option learning_rate", options.learning_rate);
    detail::LearntScales::initialise("UW: option initial", options.initial, tasks, state);
  }

  /// @throws Error for numbers that no step leaves in the state.
  void check_state(int tasks, const double* state) const { detail::LearntScales::check_saved(name, tasks, state); }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double* state, double* weights, double*) const {
    detail::LearntScales{options.learning_rate, -1, 0.5}(lanes, evidence, state, weights);
  }
};

}  // namespace v0_1
}  // namespace fuller
