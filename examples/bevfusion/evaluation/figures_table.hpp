// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "bevfusion/evaluation/evaluate.hpp"

namespace bevfusion {

/// The figures for a terminal: the headline, a row for each detection class, and one for each map class and foreground mask with
/// the threshold that served it best and, in brackets, its IoU at thresholds below the protocol's.
std::string figures_text(const EvaluationFigures& figures);

/// A row for each set of figures, by name: mAP, NDS, mIoU, foreground mIoU, as far as there are.
std::string headline_table(const std::vector<std::pair<std::string, EvaluationFigures>>& named);

}  // namespace bevfusion
