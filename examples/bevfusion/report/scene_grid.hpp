// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "bevfusion/report/experiment_figures.hpp"

namespace bevfusion {

/// The same scenes as every row sees them, from above and in the cameras, as HTML with the pictures in it: those that `predict
/// --out RUN/predictions --pictures N` drew of runs of one seed, with what a row's teachers found where it drew that
/// (--teachers). Scenes that not all of these rows have are left out; empty where there is none.
/// @param most  at most so many scenes
std::string scene_grid(const ExperimentFigures& figures, std::size_t most);

}  // namespace bevfusion
