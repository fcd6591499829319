// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/core/floating.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// 1 - beta^count of Adam's two moments: two powers, which tasks that have taken as many steps share.
struct MomentCorrections {
  double count = 0;
  double first = 0;
  double second = 0;
};

}  // namespace detail

/// Options of GradNorm; initialise() refuses those out of range.
struct GradNormOptions {
  /// What moves the weights w.
  enum class Optimizer { sgd, adam };

  /// Strength of the pull to equal training rates, in [0, 100]; 0 asks for equal gradient norms.
  double alpha = 1.5;
  Optimizer optimizer = Optimizer::sgd;
  /// Of the optimiser of w, finite and > 0.
  double learning_rate = 0.025;
  /// Decay of Adam's first and second moment, in [0, 1).
  double beta_1 = 0.9;
  double beta_2 = 0.999;
  /// L_i(0), > 0, such as log(number of classes). Empty: a task's first positive loss.
  TaskVector initial_losses;
  /// The smallest weight, as a share of the mean weight 1; in (0, 1).
  double floor = 1e-3;
  /// Which weights a step trains with. The paper differentiates the loss with w(t) while it forms w(t+1) (`before_update`). Here
  /// w(t+1) is known before the shared parameters' gradient is formed, so the step may have it already (`updated`).
  enum class Use { before_update, updated };
  Use use = Use::before_update;
};

/// GradNorm, "GradNorm: gradient normalization for adaptive loss balancing in deep multitask networks" (Chen et al., ICML 2018):
/// weights w, learnt so that G_i = w_i n_i approaches Gbar r_i^alpha. Gbar is the mean of the G_i, r_i = Ltilde_i / mean Ltilde,
/// and Ltilde_i = L_i / L_i(0) is the inverse training rate: a task that lags gets more weight.
///
/// The objective sum_i |G_i - Gbar r_i^alpha|, with the target held constant, has the closed gradient
/// sign(G_i - Gbar r_i^alpha) n_i in w_i: no second derivative is taken. After the optimiser's step the weights are scaled to add
/// up to T (in the paper's order, so the optimiser's moments see the scaled weights' gradients only).
///
/// n_i is the norm of the unscaled gradient (evidence norm / loss scale), so a power-of-two loss scale changes no bit. Adam runs
/// without epsilon, so its change of w has no unit; with SGD the change is proportional to n_i, as published.
/// Ltilde_i is 1 while no L_i(0) is known, and 0 for a negative loss; if all are 0, r_i = 1. A task absent from a step is left
/// out of both means and keeps weight, moments and L_i(0); the others share the rest of T. A weight that would fall below `floor`
/// is set to it, and the others are scaled to the rest.
///
/// Rounding. The sign of G_i - Gbar r_i^alpha decides a change of fixed size (with Adam the whole learning rate). In exact
/// arithmetic the difference is 0 for a task alone in a step, for equal tasks and at the fixed point, where fused or differently
/// ordered products leave an error of a few 1e-16. So a difference within 1e-12 of its two terms, which is how exact norms are,
/// has no sign: that task's gradient is 0. If all updated weights vanish to 1e-12, they are set to one value.
///
/// Needs Gram matrix (its diagonal) and losses. State per task: w, L(0), two moments, the optimiser's step count.
struct GradNorm {
  static constexpr const char* name = "GradNorm";
  static constexpr Needs needs{true, true};
  static constexpr Surface default_surface = Surface::last_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::all;
  /// The weights of all T tasks, absent ones included, add up to T; under `Missing::renormalise` the weights of the K present
  /// tasks are scaled to add up to K.
  static constexpr bool weights_sum_to_tasks = true;

  GradNormOptions options;

  GradNorm() = default;
  explicit GradNorm(const GradNormOptions& chosen) : options(chosen) {}

  FULLER_HD int state_size(int tasks) const { return 5 * tasks; }
  FULLER_HD int scratch_size(int tasks) const { return 2 * tasks; }
  /// @throws Error for an option outside its range, or initial losses that are not one positive number per task.
  void initialise(int tasks, double* state) const {
    detail::require_task_count(name, tasks);
    detail::require("GradNorm: option alpha", options.alpha, options.alpha >= 0 && options.alpha <= 100, "[0, 100]");
    detail::require_positive("GradNorm: option learning_rate", options.learning_rate);
    detail::require("GradNorm: option beta_1", options.beta_1, options.beta_1 >= 0 && options.beta_1 < 1, "[0, 1)");
    detail::require("GradNorm: option beta_2", options.beta_2, options.beta_2 >= 0 && options.beta_2 < 1, "[0, 1)");
    detail::require("GradNorm: option floor", options.floor, options.floor > 0 && options.floor < 1, "(0, 1)");
    detail::require_one_per_task("GradNorm: option initial_losses", options.initial_losses, tasks, true);
    for (int i = 0; i < tasks; ++i) {
      state[i] = 1;
      state[tasks + i] = options.initial_losses.empty() ? 0 : options.initial_losses[i];
      state[2 * tasks + i] = state[3 * tasks + i] = state[4 * tasks + i] = 0;
    }
  }

  /// @throws Error for numbers that no step leaves in the state.
  void check_state(int tasks, const double* state) const {
    for (int i = 0; i < tasks; ++i) {
      const auto finite = [&](int part) { return detail::is_finite(state[part * tasks + i]); };
      const auto not_negative = [&](int part) { return finite(part) && state[part * tasks + i] >= 0; };
      detail::require_saved(name, "weight", i, state[i], finite(0) && state[i] > 0);
      detail::require_saved(name, "L(0)", i, state[tasks + i], not_negative(1));
      detail::require_saved(name, "first moment", i, state[2 * tasks + i], finite(2));
      detail::require_saved(name, "second moment", i, state[3 * tasks + i], not_negative(3));
      detail::require_saved(name, "step count", i, state[4 * tasks + i], not_negative(4));
    }
  }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double* state, double* weights, double* scratch) const {
    const int T = evidence.tasks();
    double* const w = state;
    double* const initial = state + T;
    double* const moments = state + 2 * T;
    double* const n = scratch;
    double* const rate = scratch + T;
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      if (evidence.present[i] != 0) {
        const double loss = evidence.losses[i];
        initial[i] = initial[i] > 0 ? initial[i] : detail::larger(loss, 0);
        rate[i] = initial[i] > 0 ? detail::larger(loss, 0) / initial[i] : 1;
        n[i] = evidence.norm(i) / evidence.loss_scale;
      }
    }
    lanes.sync();
    double mean_G = 0;
    double mean_rate = 0;
    double share = 0;
    int K = 0;
    for (int i = 0; i < T; ++i) {
      if (evidence.present[i] != 0) {
        mean_G += w[i] * n[i];
        mean_rate += rate[i];
        share += w[i];
        ++K;
      }
    }
    mean_G /= K;
    mean_rate /= K;
    if (options.use == GradNormOptions::Use::before_update) {
      write(lanes, evidence, w, weights);
    }
    lanes.sync();
    detail::MomentCorrections corrections;
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      if (evidence.present[i] != 0) {
        const double r = mean_rate > 0 ? rate[i] / mean_rate : 1;
        const double G = w[i] * n[i];
        const double target = mean_G * std::pow(r, options.alpha);
        const double excess = G - target;
        const double gradient = std::fabs(excess) <= detail::rounding_noise * (G + target) ? 0 : excess > 0 ? n[i] : -n[i];
        rate[i] = detail::larger(w[i] - step(T, i, gradient, moments, corrections), 0);
      }
    }
    lanes.sync();
    renormalise(lanes, evidence, K, share, rate, w);
    if (options.use == GradNormOptions::Use::updated) {
      write(lanes, evidence, w, weights);
    }
    lanes.sync();
  }

 private:
  template <class Lanes, int Tasks>
  FULLER_HD static void write(Lanes lanes, const Evidence<Tasks>& evidence, const double* w, double* weights) {
    for (int i = lanes.index(); i < evidence.tasks(); i += Lanes::count) {
      weights[i] = evidence.present[i] != 0 ? w[i] : 0;
    }
  }

  /// What the optimiser subtracts from w_i.
  FULLER_HD double step(int T, int i, double gradient, double* moments, detail::MomentCorrections& corrections) const {
    if (options.optimizer == GradNormOptions::Optimizer::sgd) {
      return options.learning_rate * gradient;
    }
    double& first = moments[i];
    double& second = moments[T + i];
    double& count = moments[2 * T + i];
    count += 1;
    first = options.beta_1 * first + (1 - options.beta_1) * gradient;
    second = options.beta_2 * second + (1 - options.beta_2) * gradient * gradient;
    if (corrections.count != count) {
      corrections = {count, 1 - std::pow(options.beta_1, count), 1 - std::pow(options.beta_2, count)};
    }
    const double first_hat = first / corrections.first;
    const double second_hat = second / corrections.second;
    return second_hat > 0 ? options.learning_rate * first_hat / std::sqrt(second_hat) : 0;
  }

  /// Scales the stepped weights `v` of the K present tasks to add up to `share`, none below the floor, and stores them in `w`.
  template <class Lanes, int Tasks>
  FULLER_HD void renormalise(Lanes lanes, const Evidence<Tasks>& evidence, int K, double share, const double* v,
                             double* w) const {
    const int T = evidence.tasks();
    double scale = 0;
    int floored = -1;
    // Setting weights to the floor leaves less for the rest, which may bring more of them to it: at most K rounds.
    for (int below = 0; below != floored && below < K;) {
      floored = below;
      double sum = 0;
      for (int i = 0; i < T; ++i) {
        if (evidence.present[i] != 0 && (floored == 0 || v[i] * scale > options.floor)) {
          sum += v[i];
        }
      }
      scale = sum > detail::rounding_noise * share ? (share - floored * options.floor) / sum : 0;
      below = 0;
      for (int i = 0; i < T; ++i) {
        below += evidence.present[i] != 0 && !(v[i] * scale > options.floor) ? 1 : 0;
      }
      below = below < floored ? floored : below;
    }
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      if (evidence.present[i] != 0) {
        w[i] = scale > 0 ? detail::larger(v[i] * scale, options.floor) : share / K;
      }
    }
    lanes.sync();
  }
};

}  // namespace v0_1
}  // namespace fuller
