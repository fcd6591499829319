// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "bevfusion/report/experiment_figures.hpp"

namespace bevfusion {

/// The page of an experiment, one HTML file with everything in it: the answer, what went wrong, the table beside the paper's,
/// what is shown and what is not, the scenes, the gradients, what it cost, where it came from. It needs no script. It is XML as
/// well.
std::string experiment_page(const FinishedExperiment& experiment, const ExperimentFigures& figures);

/// Runs that are not done, a sentence each, and those whose files cannot be read.
std::vector<std::string> problems(const FinishedExperiment& experiment, const ExperimentFigures& figures);

/// Words as a shell takes them, in quotes where they need them.
std::string command_line(const std::vector<std::string>& words);

}  // namespace bevfusion
