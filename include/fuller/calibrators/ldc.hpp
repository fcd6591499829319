// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/core/adam.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/present_tasks.hpp>
#include <fuller/core/scratch.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of LDC; initialise() refuses those out of range.
struct LDCOptions {
  /// How the losses l_i that are compared follow from the losses L_i.
  enum class Normalise {
    none,         ///< l_i = L_i
    initial,      ///< l_i = L_i min_j L_j(0) / L_i(0)
    log_initial,  ///< l_i = log(L_i / L_i(0))
  };
  Normalise normalise = Normalise::initial;
  /// Weight of the discrepancies, >= 0: 0.01 to 0.1 in the authors' code.
  double lambda = 0.05;
  /// The learning rate of Adam on the router's parameters, > 0. The authors train them with the network.
  double learning_rate = 1e-3;
};

/// LDC-MTL, "LDC-MTL: balancing multi-task learning through scalable loss discrepancy control" (Xiao, Dong, Zou and Ji, 2025), in
/// the form of its released code whose router is one parameter s_i for each task. With sigma_i = sigmoid(s_i) and normalised
/// losses l_i the network and s descend
///
///     sum_i sigma_i l_i / sum_i sigma_i + lambda sum_i |sigma_i l_i - sigma_(i+1) l_(i+1)|.
///
/// Note that the two levels of the paper are one penalised objective in its code. The first term alone draws sigma to the
/// smallest loss. The penalty compares neighbours, so it depends on the order in which tasks are named. Where lambda is large a
/// weight can become negative (a head's is then 0). Routers that are a network on features would be a part of the model, and are
/// not here.
///
/// The weight of L_i is the derivative: (sigma_i / sum sigma + lambda sigma_i (+-1 +-1)) dl_i / dL_i. L_i(0) is a task's first
/// loss; neighbours are those among the tasks of the step. A loss below 0 counts as 0, and L_i(0) as at least 1e-8.
///
/// Rounding. Two scaled losses within 1e-12 of each other count as equal: the sign of their difference is 0. Scale: with
/// `initial` a factor on one loss divides its weight, up to a factor on all weights.
///
/// Needs the losses. State per task: s_i, Adam's moments, L_i(0).
struct LDC {
  static constexpr const char* name = "LDC-MTL";
  static constexpr Needs needs{false, true};
  static constexpr Surface default_surface = Surface::last_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::all;
  static constexpr bool positive_losses = true;

  LDCOptions options;

  LDC() = default;
  explicit LDC(const LDCOptions& chosen) : options(chosen) {}

  FULLER_HD int state_size(int tasks) const { return (2 + detail::Adam::state) * tasks; }
  FULLER_HD int scratch_size(int tasks) const { return 4 * tasks + detail::doubles_for_bytes(tasks); }
  /// @throws Error for an option outside its range.
  void initialise(int tasks, double* state) const {
    detail::require_task_count(name, tasks);
    detail::require("LDC: option lambda", options.lambda, options.lambda >= 0 && options.lambda <= 1000, "[0, 1000]");
    detail::require_positive("LDC: option learning_rate", options.learning_rate);
    for (int k = 0; k < state_size(tasks); ++k) {
      state[k] = 0;
    }
  }

  /// @throws Error for numbers that no step leaves in the state.
  void check_state(int tasks, const double* state) const {
    for (int i = 0; i < tasks; ++i) {
      detail::require_saved(name, "parameter", i, state[i], state[i] >= -bound && state[i] <= bound);
      detail::require_saved(name, "first moment", i, state[tasks + i], detail::Adam::fits(state + tasks + i, tasks));
      detail::require_saved(name, "L(0)", i, state[4 * tasks + i],
                            detail::is_finite(state[4 * tasks + i]) && state[4 * tasks + i] >= 0);
    }
  }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double* state, double* weights, double* scratch) const {
    const int T = evidence.tasks();
    detail::Scratch work(scratch);
    double* const sigma = work.doubles(T);
    double* const l = work.doubles(T);
    double* const slope = work.doubles(T);  // dl_i / dL_i
    std::uint8_t* const index = work.bytes(T);
    double* const L_0 = state + 4 * T;
    const int K = detail::present_tasks(lanes, evidence, index);
    for (int a = lanes.index(); a < K; a += Lanes::count) {
      const int i = index[a];
      L_0[i] = L_0[i] > 0 ? L_0[i] : detail::larger(evidence.losses[i], smallest);
      sigma[a] = 1 / (1 + std::exp(-state[i]));
    }
    lanes.sync();
    double least_L_0 = detail::largest_double;
    double sum = 0;
    for (int a = 0; a < K; ++a) {
      least_L_0 = L_0[index[a]] < least_L_0 ? L_0[index[a]] : least_L_0;
      sum += sigma[a];
    }
    for (int a = lanes.index(); a < K; a += Lanes::count) {
      normalise(evidence.losses[index[a]], L_0[index[a]], least_L_0, l[a], slope[a]);
    }
    lanes.sync();
    double mean = 0;  // of l under sigma
    for (int a = 0; a < K; ++a) {
      mean += sigma[a] * l[a] / sum;
    }
    detail::clear_absent(lanes, evidence, weights);
    for (int a = lanes.index(); a < K; a += Lanes::count) {
      const double signs = sign_of_difference(K, sigma, l, a, a + 1) + sign_of_difference(K, sigma, l, a, a - 1);
      weights[index[a]] = sigma[a] * (1 / sum + options.lambda * signs) * slope[a];
      const double in_sigma = (l[a] - mean) / sum + options.lambda * signs * l[a];
      double& s = state[index[a]];
      const double moved =
          s + detail::Adam{options.learning_rate}.step(in_sigma * sigma[a] * (1 - sigma[a]), state + T + index[a], T);
      s = moved > bound ? bound : detail::larger(moved, -bound);
    }
    lanes.sync();
  }

 private:
  static constexpr double bound = 30;
  static constexpr double smallest = 1e-8;

  FULLER_HD void normalise(double L, double L_0, double least_L_0, double& l, double& slope) const {
    const double loss = detail::larger(L, 0);
    switch (options.normalise) {
      case LDCOptions::Normalise::none:
        l = loss;
        slope = 1;
        return;
      case LDCOptions::Normalise::initial:
        slope = least_L_0 / L_0;
        l = loss * slope;
        return;
      case LDCOptions::Normalise::log_initial:
        slope = 1 / (loss + smallest);
        l = std::log((loss + smallest) / (L_0 + smallest));
        return;
    }
  }

  /// The sign of sigma_a l_a - sigma_b l_b; 0 where there is no b.
  FULLER_HD static double sign_of_difference(int K, const double* sigma, const double* l, int a, int b) {
    if (b < 0 || b >= K) {
      return 0;
    }
    const double one = sigma[a] * l[a];
    const double other = sigma[b] * l[b];
    const double noise = detail::rounding_noise * (std::fabs(one) + std::fabs(other));
    return one - other > noise ? 1 : one - other < -noise ? -1 : 0;
  }
};

}  // namespace v0_1
}  // namespace fuller
