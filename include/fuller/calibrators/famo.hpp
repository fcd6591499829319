// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/core/adam.hpp>
#include <fuller/core/floating.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of FAMO; initialise() refuses those out of range.
struct FAMOOptions {
  /// The learning rate of Adam on the logits xi, > 0.
  double learning_rate = 0.025;
  /// Decay of the logits towards 0, >= 0: gamma in the paper.
  double gamma = 1e-3;
  /// T smallest values b_i >= 0 of the losses, subtracted before the logarithm. Empty: 0.
  TaskVector least;
};

/// FAMO, "FAMO: fast adaptive multitask optimization" (Liu, Feng, Stone and Liu, NeurIPS 2023), Algorithm 1: all losses should
/// fall at the same rate. With z = softmax(xi) the step descends sum_i z_i log(L_i - b_i), normalised: the weight of L_i is c z_i
/// / (L_i - b_i + 1e-8) with c such that they add up to 1. Then xi follows delta = J^T (log before - log after), J the softmax's
/// derivative: z_i (d_i - sum_k z_k d_k), by Adam with decay gamma.
///
/// Reading. The paper's losses "after" are those of the same batch after the step, which takes a second forward: its losses are
/// handed in by Calibration::losses_after(). Without that call, as an option in its code, they are the losses of the next step,
/// before its weights are chosen; so xi is one step late, and follows other samples. A task's d is known if the task was present
/// in the step before as well, the last in which the rule was asked; the logits of the others stay, and softmax runs over the
/// tasks of the step. A loss at or below b counts as b.
///
/// Scale: a factor on all losses or on one cancels in every difference of logarithms, and divides the weights of these losses.
/// Rounding: nothing is compared; thanks to Adam's epsilon a difference that is only rounding makes no full step.
///
/// Needs the losses. State per task: xi, Adam's moments, the last logarithm, and whether it is of the last step.
struct FAMO {
  static constexpr const char* name = "FAMO";
  static constexpr Needs needs{false, true};
  static constexpr Surface default_surface = Surface::last_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::all;
  static constexpr bool positive_losses = true;

  FAMOOptions options;

  FAMO() = default;
  explicit FAMO(const FAMOOptions& chosen) : options(chosen) {}

  FULLER_HD int state_size(int tasks) const { return (3 + detail::Adam::state) * tasks; }
  FULLER_HD int scratch_size(int tasks) const { return 2 * tasks; }
  /// @throws Error for options outside their ranges, or least losses that are not one finite number >= 0 per task.
  void initialise(int tasks, double* state) const {
    detail::require_task_count(name, tasks);
    detail::require_positive("FAMO: option learning_rate", options.learning_rate);
    detail::require("FAMO: option gamma", options.gamma, options.gamma >= 0 && detail::is_finite(options.gamma), "[0, infinity)");
    detail::require_one_per_task("FAMO: option least", options.least, tasks, false);
    for (int k = 0; k < state_size(tasks); ++k) {
      state[k] = 0;
    }
  }

  /// @throws Error for numbers that no step leaves in the state.
  void check_state(int tasks, const double* state) const {
    for (int i = 0; i < tasks; ++i) {
      // Wide of what steps reach, and such that no square of what follows from them overflows.
      detail::require_saved(name, "logit", i, state[i], std::fabs(state[i]) <= 1e100);
      detail::require_saved(name, "first moment", i, state[tasks + i], detail::Adam::fits(state + tasks + i, tasks));
      detail::require_saved(name, "last logarithm", i, state[4 * tasks + i], std::fabs(state[4 * tasks + i]) <= 1000);
      const double seen = state[5 * tasks + i];
      detail::require_saved(name, "mark of the last step", i, seen, seen == 0 || seen == 1);
    }
  }

  /// Learns from the losses of the batch of the last step, after it; the next step then shows nothing of it. `scratch` holds 3 T
  /// doubles. On the host.
  void after_step(const Evidence<>& evidence, double* state, double* scratch) const {
    const int T = evidence.tasks();
    double* const learnt = scratch;
    learn(Serial{}, evidence, state, learnt, scratch + T);
    for (int i = 0; i < T; ++i) {
      state[5 * T + i] = learnt[i] != 0 ? 0 : state[5 * T + i];
    }
  }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double* state, double* weights, double* scratch) const {
    const int T = evidence.tasks();
    double* const xi = state;
    double* const last = state + 4 * T;
    double* const seen = state + 5 * T;
    double* const z = scratch;
    learn(lanes, evidence, state, weights, scratch);

    for (int i = lanes.index(); i < T; i += Lanes::count) {
      weights[i] = evidence.present[i];
      seen[i] = evidence.present[i] != 0 ? 1 : 0;
      if (evidence.present[i] != 0) {
        last[i] = logarithm(evidence, i);
      }
    }
    lanes.sync();
    softmax(lanes, T, xi, weights, z);
    double sum = 0;
    for (int i = 0; i < T; ++i) {
      sum += evidence.present[i] != 0 ? z[i] / above_least(evidence, i) : 0;
    }
    lanes.sync();
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      weights[i] = evidence.present[i] != 0 ? z[i] / above_least(evidence, i) / sum : 0;
    }
    lanes.sync();
  }

 private:
  /// What the step before has brought, among the tasks that were in both, whose flags go to `both`.
  template <class Lanes, int Tasks>
  FULLER_HD void learn(Lanes lanes, const Evidence<Tasks>& evidence, double* state, double* both, double* scratch) const {
    const int T = evidence.tasks();
    double* const xi = state;
    double* const moments = state + T;
    const double* const last = state + 4 * T;
    const double* const seen = state + 5 * T;
    double* const z = scratch;
    double* const fallen = scratch + T;
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      both[i] = evidence.present[i] != 0 ? seen[i] : 0;
      fallen[i] = evidence.present[i] != 0 ? last[i] - logarithm(evidence, i) : 0;
    }
    lanes.sync();
    softmax(lanes, T, xi, both, z);
    double mean = 0;
    for (int i = 0; i < T; ++i) {
      mean += both[i] != 0 ? z[i] * fallen[i] : 0;
    }
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      if (both[i] != 0) {
        const double gradient = z[i] * (fallen[i] - mean) + options.gamma * xi[i];
        xi[i] += detail::Adam{options.learning_rate}.step(gradient, moments + i, T);
      }
    }
    lanes.sync();
  }

  template <int Tasks>
  FULLER_HD double above_least(const Evidence<Tasks>& evidence, int i) const {
    const double least = options.least.empty() ? 0 : options.least[i];
    return detail::larger(evidence.losses[i] - least, 0) + 1e-8;
  }

  template <int Tasks>
  FULLER_HD double logarithm(const Evidence<Tasks>& evidence, int i) const {
    return std::log(above_least(evidence, i));
  }

  /// z_i ~ exp(xi_i) over the tasks that take part.
  template <class Lanes>
  FULLER_HD static void softmax(Lanes lanes, int T, const double* xi, const double* takes_part, double* z) {
    double largest = -detail::largest_double;
    for (int i = 0; i < T; ++i) {
      largest = takes_part[i] != 0 ? detail::larger(largest, xi[i]) : largest;
    }
    double sum = 0;
    for (int i = 0; i < T; ++i) {
      sum += takes_part[i] != 0 ? std::exp(xi[i] - largest) : 0;
    }
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      z[i] = takes_part[i] != 0 ? std::exp(xi[i] - largest) / sum : 0;
    }
    lanes.sync();
  }
};

}  // namespace v0_1
}  // namespace fuller
