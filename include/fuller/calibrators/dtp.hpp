// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/calibrators/options.hpp>
#include <fuller/core/epoch_means.hpp>
#include <fuller/core/evidence.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/host_device.hpp>
#include <fuller/core/lanes.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of DTP; initialise() refuses those out of range.
struct DTPOptions {
  /// The focusing exponent, in [0, 1000]; 0 is uniform. The paper: 2 (BEVFormer), 4 (CelebA, 40 tasks), 1 (CIFAR-100, 20 tasks).
  double gamma = 2;
  /// The constant factors s_i > 0 that bring the losses to one magnitude. Empty: measured, s_i = 1 / (mean loss of the task's
  /// first epoch). With measured factors the second epoch is uniform too, since every s_i Lbar_i is then 1.
  TaskVector scales;
};

/// The task distribution of wPCGrad by dynamic task prioritisation, Eq. 1: p(T_i) ~ (s_i Lbar_i)^gamma with Lbar_i the mean loss
/// of the epoch before; uniform in the first epoch. A task that does badly is likely to keep its gradient.
///
/// "Loss over the previous epoch" is read as the mean of the raw losses, times a factor that is constant over time (section 4).
/// Powers are computed by logarithms, which cannot overflow. Losses should be positive: an s_i Lbar_i below 1e-12 of the largest
/// counts as 1e-12 of it. A task that was absent for a whole epoch keeps its last mean; one that was never there has the mean of
/// the others.
///
/// Needs the losses. State: epoch means and measured factors.
struct DTP {
  static constexpr const char* name = "DTP";
  static constexpr bool needs_losses = true;

  DTPOptions options;

  DTP() = default;
  explicit DTP(const DTPOptions& chosen) : options(chosen) {}

  FULLER_HD int state_size(int tasks) const { return detail::EpochMeans::size(tasks) + tasks; }
  /// @throws Error unless gamma is in [0, 1000] and the scales are one positive number per task, or empty.
  void initialise(int tasks, double* state) const {
    detail::require("DTP: option gamma", options.gamma, options.gamma >= 0 && options.gamma <= 1000, "[0, 1000]");
    detail::require_one_per_task("DTP: option scales", options.scales, tasks, true);
    detail::EpochMeans::initialise(tasks, state);
    for (int i = 0; i < tasks; ++i) {
      state[detail::EpochMeans::size(tasks) + i] = options.scales.empty() ? 0 : options.scales[i];
    }
  }

  /// @throws Error for numbers that no step leaves in the state.
  void check_state(int tasks, const double* state) const {
    const int k = detail::EpochMeans::damaged(tasks, state);
    detail::require_saved(name, "epoch means", k, k < 0 ? 0 : state[k], k < 0);
    for (int i = 0; i < tasks; ++i) {
      const double scale = state[detail::EpochMeans::size(tasks) + i];
      detail::require_saved(name, "scale", i, scale, detail::is_finite(scale) && scale >= 0);
    }
  }

  /// Writes log p_i of the present tasks, up to a common constant.
  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double* state, double* log_p) const {
    constexpr double unknown = -1;
    constexpr double smallest_share = 1e-12;
    const int T = evidence.tasks();
    const detail::EpochMeans means(T, state);
    double* const scales = state + detail::EpochMeans::size(T);
    means.observe(lanes, evidence);
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      if (evidence.present[i] == 0) {
        continue;
      }
      if (means.known(i) == 0) {
        log_p[i] = unknown;
      } else {
        if (!(scales[i] > 0)) {
          const double scale = 1 / means.latest(i);
          scales[i] = scale > 0 && detail::is_finite(scale) ? scale : 1;
        }
        log_p[i] = detail::larger(scales[i] * means.latest(i), 0);
      }
    }
    lanes.sync();
    double largest = 0;
    double sum = 0;
    int known = 0;
    for (int i = 0; i < T; ++i) {
      if (evidence.present[i] != 0 && log_p[i] != unknown) {
        largest = detail::larger(largest, log_p[i]);
        sum += log_p[i];
        ++known;
      }
    }
    lanes.sync();
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      if (evidence.present[i] != 0) {
        const double scaled = log_p[i] != unknown ? log_p[i] : sum / known;
        log_p[i] = largest > 0 ? options.gamma * std::log(detail::larger(scaled / largest, smallest_share)) : 0;
      }
    }
    lanes.sync();
  }
};

}  // namespace v0_1
}  // namespace fuller
