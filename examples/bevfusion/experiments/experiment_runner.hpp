// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "bevfusion/experiments/experiment_plan.hpp"

namespace bevfusion {

/// What came of the runs of a plan.
struct ExperimentOutcome {
  std::size_t done = 0;                                     ///< those that were there before included
  std::vector<std::pair<std::string, std::string>> failed;  ///< "both_1, seed 0", and the last lines of its output
  int signal = 0;                                           ///< that ended it early; 0 for none
};

/// Trains and evaluates what the plan lacks, as many at once as it says, each a child that ends with this process. What is on
/// disk is all that is known: whoever plans again after any kind of end goes on there. A run that fails is noted in its folder,
/// and the others go on; SIGINT and SIGTERM are passed on to the children. One runner a folder: --out is locked while it works.
/// @param terminal  for progress
/// @throws std::runtime_error where the data set cannot be written, the folder cannot be written or is in use
ExperimentOutcome run_experiments(ExperimentPlan& plan, std::FILE* terminal = stderr);

/// Writes OUT/NAME/experiment.json of each of the plan's experiments, which read_experiment() reads.
/// @return the folders
std::vector<std::filesystem::path> write_experiments(const ExperimentPlan& plan);

}  // namespace bevfusion
