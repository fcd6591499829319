// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include "bevfusion/experiments/finished_experiment.hpp"

namespace bevfusion {

/// What an experiment found, to be kept: each row's figures by seed, their means with 95 % intervals, differences from the row's
/// baseline paired by seed, the paper's figures beside them, how each run stands, what ran where, and the commands to repeat it.
nlohmann::ordered_json results_json(const FinishedExperiment& experiment);

/// Writes it to FOLDER/results.json.
void write_results(const std::filesystem::path& folder, const FinishedExperiment& experiment);

/// The table of results, as a terminal shows it: a row each, the paper's figure in brackets, differences from the baseline.
std::string results_text(const FinishedExperiment& experiment);

}  // namespace bevfusion
