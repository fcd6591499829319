// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "bevfusion/experiments/finished_experiment.hpp"

namespace bevfusion {

/// Writes the report of an experiment: index.html, which needs nothing beside it, report.md, runs.csv and report.json. The folder
/// is made where it is not there. Runs that are not done, and runs whose files are not as they should be, are named in it.
/// @return the answer, for a terminal: a sentence each
/// @throws std::runtime_error where it cannot be written
std::vector<std::string> write_experiment_report(const std::filesystem::path& folder, const FinishedExperiment& experiment);

}  // namespace bevfusion
