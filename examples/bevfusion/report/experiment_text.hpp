// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "bevfusion/report/experiment_figures.hpp"
#include "bevfusion/report/findings.hpp"

namespace bevfusion {

/// Answer, problems, table and findings as Markdown, for a file that links to them.
std::string experiment_markdown(const FinishedExperiment& experiment, const ExperimentFigures& figures,
                                const std::vector<Finding>& findings);

/// A line a run, done or not, with its figures in the columns' units: numbers, nothing rounded off.
std::string experiment_csv(const FinishedExperiment& experiment, const ExperimentFigures& figures);

/// All of it for programs: each cell's values by seed, mean, interval, the paper's figure, difference, verdict and seeds.
nlohmann::ordered_json experiment_json(const FinishedExperiment& experiment, const ExperimentFigures& figures,
                                       const std::vector<Finding>& findings);

}  // namespace bevfusion
