// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>

#include "bevfusion/experiments/experiment_plan.hpp"

namespace bevfusion {

/// What a log says of how far its run is.
struct LogProgress {
  double step = 0;   ///< the last one
  double steps = 0;  ///< of the whole training; 0 where the log does not say
  double samples = 0;
  double seconds = 0;  ///< a step, the mean of the last ones
};

/// Nothing where there is no log yet. Reads the beginning and the end alone, and takes a line that is being written for none.
std::optional<LogProgress> log_progress(const std::filesystem::path& run);

/// Finds out how many steps the plan's runs have, how many are done, and how long the others take: by the time per step of
/// finished runs of the same size and device, else by one that is stated.
void add_costs(ExperimentPlan& plan);

}  // namespace bevfusion
