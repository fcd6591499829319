// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/core/epoch_means.hpp>
#include <fuller/core/floating.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of DWA; initialise() refuses those out of range.
struct DWAOptions {
  /// tau > 0: the larger, the closer to equal weights.
  double temperature = 2;
};

/// DWA, "End-to-end multi-task learning with attention" (Liu, Johns and Davison, CVPR 2019):
/// lambda_i(t) = T exp(r_i / tau) / sum_k exp(r_k / tau), r_i = Lbar_i(t-1) / Lbar_i(t-2), with Lbar_i the mean loss of an epoch;
/// lambda = 1 in the first two epochs.
///
/// r_i is 1, neither faster nor slower, for a task that has not ended two epochs yet, whose ratio is not finite (a mean of 0), or
/// whose ratio is one to rounding noise (a mean of no more than 1e-13 of the largest in that epoch, which is 0 in exact
/// arithmetic). A task that is absent for a whole epoch keeps its mean. Weights of the tasks in a step add up to their number.
/// The exponents are shifted by the largest, so none overflows.
///
/// Needs the losses (any finite values), and no gradient. State: running and last epoch means.
struct DWA {
  static constexpr const char* name = "DWA";
  static constexpr Needs needs{false, true};
  static constexpr Surface default_surface = Surface::last_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::all;

  DWAOptions options;

  DWA() = default;
  explicit DWA(const DWAOptions& chosen) : options(chosen) {}

  FULLER_HD int state_size(int tasks) const { return detail::EpochMeans::size(tasks); }
  FULLER_HD int scratch_size(int tasks) const { return tasks; }
  /// @throws Error unless the temperature is finite and > 0.
  void initialise(int tasks, double* state) const {
    detail::require_task_count(name, tasks);
    detail::require_positive("DWA: option temperature", options.temperature);
    detail::EpochMeans::initialise(tasks, state);
  }

  /// @throws Error for numbers that no step leaves in the state.
  void check_state(int tasks, const double* state) const {
    const int k = detail::EpochMeans::damaged(tasks, state);
    detail::require_saved(name, "epoch means", k, k < 0 ? 0 : state[k], k < 0);
  }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double* state, double* weights, double* scratch) const {
    const int T = evidence.tasks();
    const detail::EpochMeans means(T, state);
    double* const r = scratch;
    means.observe(lanes, evidence);
    lanes.sync();
    double largest = 0;
    for (int i = 0; i < T; ++i) {
      if (evidence.present[i] != 0 && means.known(i) == 2) {
        largest = detail::larger(largest, std::fabs(means.previous(i)));
      }
    }
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      if (evidence.present[i] != 0) {
        const bool known = means.known(i) == 2 && std::fabs(means.previous(i)) > detail::zero_gradient * largest;
        const double ratio = known ? means.latest(i) / means.previous(i) : 1;
        r[i] = detail::is_finite(ratio) ? ratio : 1;
      }
    }
    lanes.sync();
    double r_max = -detail::largest_double;
    int K = 0;
    for (int i = 0; i < T; ++i) {
      if (evidence.present[i] != 0) {
        r_max = detail::larger(r_max, r[i]);
        ++K;
      }
    }
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      weights[i] = evidence.present[i] != 0 ? std::exp((r[i] - r_max) / options.temperature) : 0;
    }
    lanes.sync();
    double sum = 0;
    for (int i = 0; i < T; ++i) {
      sum += weights[i];
    }
    lanes.sync();
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      weights[i] = K * weights[i] / sum;
    }
    lanes.sync();
  }
};

}  // namespace v0_1
}  // namespace fuller
