// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "bevfusion/evaluation/evaluate.hpp"

namespace bevfusion {

/// The figures for a terminal, task by task: a row for each detection class, and one for each map class and foreground mask with
/// the threshold that served it best and, in brackets, its IoU at thresholds below the protocol's.
std::string figures_text(const EvaluationFigures& figures);

/// A row for each set of figures, by name, a column for each figure of the known tasks, "-" where there is none.
std::string headline_table(const std::vector<std::pair<std::string, EvaluationFigures>>& named);

}  // namespace bevfusion
