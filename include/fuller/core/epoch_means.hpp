// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/evidence.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/host_device.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Mean losses of the last two epochs that ended, per task, over a rule's flat state.
///
/// The end of an epoch is read off `evidence.epoch`. A task that a step does not show is not touched; when it comes back in a
/// later epoch, every whole epoch without it counts as having the mean that was last known. Sums run over steps, each step
/// with the same weight.
class EpochMeans {
 public:
  /// Doubles of state for T tasks.
  FULLER_HD static constexpr int size(int tasks) { return 6 * tasks; }

  FULLER_HD EpochMeans(int tasks, double* state)
      : epoch_(state),
        sum_(state + tasks),
        count_(state + 2 * tasks),
        latest_(state + 3 * tasks),
        previous_(state + 4 * tasks),
        known_(state + 5 * tasks) {}

  static void initialise(int tasks, double* state) {
    for (int k = 0; k < size(tasks); ++k) {
      state[k] = 0;
    }
  }

  /// The first of the numbers that no step can have left, by its place in the state; -1 if there is none.
  static int damaged(int tasks, const double* state) {
    for (int k = 0; k < size(tasks); ++k) {
      const int part = k / tasks;
      const bool fits = is_finite(state[k]) &&
                        (part == 5 ? state[k] == 0 || state[k] == 1 || state[k] == 2 : (part != 0 && part != 2) || state[k] >= 0);
      if (!fits) {
        return k;
      }
    }
    return -1;
  }

  /// Adds the losses of this step to the running epoch, after closing the one before if the epoch has changed. Each lane
  /// touches the tasks it owns alone; no lane may read another's before a sync.
  template <class Lanes, int Tasks>
  FULLER_HD void observe(Lanes lanes, const Evidence<Tasks>& evidence) const {
    const auto now = static_cast<double>(evidence.epoch);
    for (int i = lanes.index(); i < evidence.tasks(); i += Lanes::count) {
      if (evidence.present[i] == 0) {
        continue;
      }
      if (count_[i] > 0 && epoch_[i] != now) {
        const bool epochs_were_missed = now - epoch_[i] > 1;
        const double mean = sum_[i] / count_[i];
        previous_[i] = epochs_were_missed ? mean : latest_[i];
        latest_[i] = mean;
        known_[i] = epochs_were_missed || known_[i] > 0 ? 2 : 1;
        sum_[i] = 0;
        count_[i] = 0;
      }
      epoch_[i] = now;
      sum_[i] += evidence.losses[i];
      count_[i] += 1;
    }
  }

  /// How many ended epochs have a mean: 0, 1 or 2 (and more).
  FULLER_HD int known(int i) const { return static_cast<int>(known_[i]); }
  /// Mean loss of the last epoch that ended; needs `known(i) >= 1`.
  FULLER_HD double latest(int i) const { return latest_[i]; }
  /// Mean loss of the epoch before that; needs `known(i) >= 2`.
  FULLER_HD double previous(int i) const { return previous_[i]; }

 private:
  double* epoch_;
  double* sum_;
  double* count_;
  double* latest_;
  double* previous_;
  double* known_;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
