// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <initializer_list>

#include <fuller/calibrators/options.hpp>
#include <fuller/core/evidence.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/host_device.hpp>
#include <fuller/core/lanes.hpp>

namespace fuller {
inline namespace v0_1 {

/// A stretch of training in which one task is favoured, or none.
struct Phase {
  /// Where it ends, as a fraction of training in (0, 1].
  double until = 1;
  /// The number of the favoured task, from 0; -1: none is favoured.
  int favoured = -1;
  /// The probability that the favoured task is drawn first, in (0, 1); the others share the rest equally.
  double probability = 0.95;
};

/// Options of PhaseSchedule; initialise() refuses those out of range.
struct PhaseScheduleOptions {
  static constexpr int capacity = 16;

  /// Epochs of the whole training, > 0. Must be given.
  std::int64_t epochs = 0;
  Phase phases[capacity] = {};
  int count = 0;
};

/// A task distribution for wPCGrad that is fixed beforehand: a table of phases. Epoch e (from 0) belongs to the phase in which
/// its middle lies, (e + 1/2) / epochs < until; after the last phase, to the last. If the end of a phase and the middle of an
/// epoch differ only by rounding (0.07 of 50 epochs), they count as equal: the epoch belongs to the next phase. Needs nothing; no
/// state.
struct PhaseSchedule {
  static constexpr const char* name = "phases";
  static constexpr bool needs_losses = false;

  PhaseScheduleOptions options;

  PhaseSchedule() = default;
  explicit PhaseSchedule(const PhaseScheduleOptions& chosen) : options(chosen) {}
  /// @throws Error for more phases than an option holds.
  PhaseSchedule(std::int64_t epochs, std::initializer_list<Phase> phases) {
    options.epochs = epochs;
    if (phases.size() > static_cast<std::size_t>(PhaseScheduleOptions::capacity)) {
      detail::fail("PhaseSchedule: ", phases.size(), " phases are given; at most ", PhaseScheduleOptions::capacity, " are held");
    }
    for (const Phase& phase : phases) {
      options.phases[options.count++] = phase;
    }
  }

  FULLER_HD int state_size(int) const { return 0; }
  /// @throws Error for epochs <= 0, no phase, ends that do not rise within (0, 1], an unknown task, or a probability outside (0,
  /// 1).
  void initialise(int tasks, double*) const {
    if (options.epochs <= 0) {
      detail::fail("PhaseSchedule: option epochs is ", options.epochs, "; it must be > 0, the epochs of the whole training");
    }
    if (options.count < 1 || options.count > PhaseScheduleOptions::capacity) {
      detail::fail("PhaseSchedule: option count is ", options.count, "; it must lie in [1, ", PhaseScheduleOptions::capacity,
                   "]");
    }
    double start = 0;
    for (int k = 0; k < options.count; ++k) {
      const Phase& phase = options.phases[k];
      if (!(phase.until > start && phase.until <= 1)) {
        detail::fail("PhaseSchedule: option phases[", k, "].until is ", phase.until, "; it must lie in (", start, ", 1]");
      }
      if (phase.favoured < -1 || phase.favoured >= tasks) {
        detail::fail("PhaseSchedule: option phases[", k, "].favoured is ", phase.favoured, "; it must be -1 or a task, 0 to ",
                     tasks - 1);
      }
      if (!(phase.probability > 0 && phase.probability < 1)) {
        detail::fail("PhaseSchedule: option phases[", k, "].probability is ", phase.probability, "; it must lie in (0, 1)");
      }
      start = phase.until;
    }
  }

  /// The phase of an epoch.
  FULLER_HD const Phase& phase(std::int64_t epoch) const {
    const double epochs = static_cast<double>(options.epochs) * (1 - detail::rounding_noise);
    int k = 0;
    while (k < options.count - 1 && !(static_cast<double>(epoch) + 0.5 < options.phases[k].until * epochs)) {
      ++k;
    }
    return options.phases[k];
  }

  /// Writes log p_i of the tasks.
  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double*, double* log_p) const {
    const int T = evidence.tasks();
    const Phase& now = phase(evidence.epoch);
    const double favoured = std::log(now.probability);
    const double other = T > 1 ? std::log((1 - now.probability) / (T - 1)) : 0;
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      log_p[i] = now.favoured < 0 ? 0 : i == now.favoured ? favoured : other;
    }
    lanes.sync();
  }
};

/// The shape of the paper's two schedules (section 4): the task `first` is favoured until epoch 15 of 24, no task during the next
/// three epochs, and `second` to the end; given here as fractions of `epochs`, 15/24 and 18/24.
///
/// The paper resolves "almost every" conflict for the favoured task. Here it is drawn first with `probability`, so that any of
/// its conflicts is resolved for it at least that often.
inline PhaseSchedule favour_in_turn(std::int64_t epochs, int first, int second, double probability = 0.95) {
  return PhaseSchedule(epochs, {{15.0 / 24, first, probability}, {18.0 / 24, -1, probability}, {1, second, probability}});
}

/// The paper's schedule Seg. -> Vel.; `segmentation` and `velocity` are the numbers of these tasks, from 0.
inline PhaseSchedule seg_to_vel(std::int64_t epochs, int segmentation, int velocity, double probability = 0.95) {
  return favour_in_turn(epochs, segmentation, velocity, probability);
}

/// The paper's schedule Vel. -> Seg.; `segmentation` and `velocity` are the numbers of these tasks, from 0.
inline PhaseSchedule vel_to_seg(std::int64_t epochs, int segmentation, int velocity, double probability = 0.95) {
  return favour_in_turn(epochs, velocity, segmentation, probability);
}

}  // namespace v0_1
}  // namespace fuller
