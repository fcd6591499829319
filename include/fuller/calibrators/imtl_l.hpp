// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/calibrators/learnt_scales.hpp>
#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of IMTL_L; initialise() refuses those out of range.
struct IMTL_L_Options {
  /// The learning rate of Adam on the log scales, > 0. Published code trains them with the network, by its optimiser.
  double learning_rate = 1e-2;
  /// The log scales s_i to start from, each in [-30, 30]. Empty: 0.
  TaskVector initial;
};

/// IMTL-L, "Towards impartial multi-task learning" (Liu et al., ICLR 2021), Eq. 9: the sum of e^(s_i) L_i - s_i with learnt log
/// scales s_i, which makes all scaled losses 1. The weight of L_i is e^(s_i); s_i follows the gradient e^(s_i) L_i - 1 by Adam.
/// It is twice `UW` with -s_i. Weights tend to 1 / L_i, which gives the gradients of log L_i.
///
/// State, bounds and order as for UW.
///
/// Scale: a factor on a loss is divided out in time; gradients are not used. Rounding: nothing is compared.
///
/// Needs the losses. State per task: s_i and Adam's moments.
struct IMTL_L {
  static constexpr const char* name = "IMTL-L";
  static constexpr Needs needs{false, true};
  static constexpr Surface default_surface = Surface::last_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::all;
  static constexpr bool positive_losses = true;

  IMTL_L_Options options;

  IMTL_L() = default;
  explicit IMTL_L(const IMTL_L_Options& chosen) : options(chosen) {}

  FULLER_HD int state_size(int tasks) const { return detail::LearntScales::state_size(tasks); }
  FULLER_HD int scratch_size(int) const { return 0; }
  /// @throws Error for a learning rate that is not > 0, or starts that are not one number in [-30, 30] per task.
  void initialise(int tasks, double* state) const {
    detail::require_task_count(name, tasks);
    detail::require_positive("IMTL_L: option learning_rate", options.learning_rate);
    detail::LearntScales::initialise("IMTL_L: option initial", options.initial, tasks, state);
  }

  /// @throws Error for numbers that no step leaves in the state.
  void check_state(int tasks, const double* state) const { detail::LearntScales::check_saved(name, tasks, state); }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double* state, double* weights, double*) const {
    detail::LearntScales{options.learning_rate, 1, 1}(lanes, evidence, state, weights);
  }
};

}  // namespace v0_1
}  // namespace fuller
