// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/calibrators/options.hpp>
#include <fuller/core/adam.hpp>
#include <fuller/core/evidence.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/host_device.hpp>
#include <fuller/core/task_vector.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// The weights factor e^(sign s_i), with s_i learnt so that the sum of factor (e^(sign s_i) L_i - sign s_i) falls: what UW and
/// IMTL-L have in common.
struct LearntScales {
  double learning_rate;
  double sign;
  double factor;

  static constexpr double bound = 30;

  FULLER_HD static int state_size(int tasks) { return (1 + Adam::state) * tasks; }

  static void initialise(const char* option, const TaskVector& initial, int tasks, double* state) {
    if (!initial.empty() && initial.size() != tasks) {
      fail(option, " has ", initial.size(), " values for ", tasks, " tasks; give one per task, or none");
    }
    for (int k = 0; k < state_size(tasks); ++k) {
      state[k] = k < tasks && !initial.empty() ? initial[k] : 0;
    }
    for (int i = 0; i < tasks; ++i) {
      require(option, state[i], state[i] >= -bound && state[i] <= bound, "[-30, 30]");
    }
  }

  static void check_saved(const char* rule, int tasks, const double* state) {
    for (int i = 0; i < tasks; ++i) {
      require_saved(rule, "log scale", i, state[i], state[i] >= -bound && state[i] <= bound);
      require_saved(rule, "first moment", i, state[tasks + i], Adam::fits(state + tasks + i, tasks));
    }
  }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double* state, double* weights) const {
    const int T = evidence.tasks();
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      weights[i] = 0;
      if (evidence.present[i] != 0) {
        const double scale = std::exp(sign * state[i]);
        weights[i] = factor * scale;
        const double gradient = factor * sign * (scale * evidence.losses[i] - 1);
        const double moved = state[i] + Adam{learning_rate}.step(gradient, state + T + i, T);
        state[i] = moved > bound ? bound : larger(moved, -bound);
      }
    }
    lanes.sync();
  }
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
