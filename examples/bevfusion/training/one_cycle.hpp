// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "bevfusion/config/run_config.hpp"

namespace bevfusion {

/// What an optimiser's step takes from the schedule.
struct ScheduledStep {
  double learning_rate = 0;
  double beta1 = 0;
};

/// From `from` to `to` along half a cosine, share 0 ... 1 of the way.
inline double cosine_between(double from, double to, double share) {
  return to + (from - to) / 2 * (1 + std::cos(std::acos(-1.0) * share));
}

/// The one-cycle schedule (Smith 2018, as OpenPCDet's adam_onecycle runs it) at a step.
///
/// In the first floor(warm_up * steps) steps the learning rate rises from largest / initial_divisor to the largest and beta_1
/// falls from most to least; in the others the learning rate falls to largest / final_divisor and beta_1 rises again. Half a
/// cosine each.
/// @param step   0 ... steps - 1; the end of the fall, where step were `steps`, is not reached
/// @param steps  of the whole run, at least 1
inline ScheduledStep one_cycle(const TrainingConfig& config, std::int64_t step, std::int64_t steps) {
  const auto turn = static_cast<std::int64_t>(std::floor(config.warm_up * static_cast<double>(steps)));
  const double lowest = config.learning_rate / config.initial_divisor;
  if (step < turn) {
    const double share = static_cast<double>(step) / static_cast<double>(turn);
    return {cosine_between(lowest, config.learning_rate, share), cosine_between(config.most_beta1, config.least_beta1, share)};
  }
  const double share = static_cast<double>(step - turn) / static_cast<double>(std::max<std::int64_t>(1, steps - turn));
  return {cosine_between(config.learning_rate, config.learning_rate / config.final_divisor, share),
          cosine_between(config.least_beta1, config.most_beta1, share)};
}

}  // namespace bevfusion
