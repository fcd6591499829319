// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/present_tasks.hpp>
#include <fuller/core/scratch.hpp>

namespace fuller {
inline namespace v0_1 {

/// GLS, "MultiNet++: multi-stream feature aggregation and geometric loss strategy for multi-task learning" (Chennupati et al.,
/// CVPR workshops 2019): the geometric mean (prod_i L_i)^(1/T). The weight of L_i is its derivative, GLS / (T L_i).
///
/// The mean is formed from logarithms, since a product of losses can overflow. Losses should be positive: one below 1e-12 of the
/// largest counts as 1e-12 of it, and where none is positive all weights are 1 / T.
///
/// Scale: a common factor on all losses changes nothing. A factor on a single loss multiplies all weights by its T-th root, and
/// also divides the weight of that loss by it. Rounding: nothing else is compared.
///
/// Needs the losses. No state.
struct GLS {
  static constexpr const char* name = "GLS";
  static constexpr Needs needs{false, true};
  static constexpr Surface default_surface = Surface::last_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::all;
  static constexpr bool positive_losses = true;

  FULLER_HD int state_size(int) const { return 0; }
  FULLER_HD int scratch_size(int tasks) const { return tasks; }
  void initialise(int tasks, double*) const { detail::require_task_count(name, tasks); }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double*, double* weights, double* scratch) const {
    constexpr double smallest_share = 1e-12;
    const int T = evidence.tasks();
    double* const share = scratch;  // L_i over the largest
    double largest = 0;
    int K = 0;
    for (int i = 0; i < T; ++i) {
      if (evidence.present[i] != 0) {
        largest = detail::larger(largest, evidence.losses[i]);
        ++K;
      }
    }
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      if (evidence.present[i] != 0) {
        share[i] = largest > 0 ? detail::larger(evidence.losses[i] / largest, smallest_share) : 1;
      }
    }
    lanes.sync();
    double logarithms = 0;
    for (int i = 0; i < T; ++i) {
      logarithms += evidence.present[i] != 0 ? std::log(share[i]) : 0;
    }
    const double mean = std::exp(logarithms / K);
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      weights[i] = evidence.present[i] != 0 ? mean / share[i] / K : 0;
    }
    lanes.sync();
  }
};

}  // namespace v0_1
}  // namespace fuller
