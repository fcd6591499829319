// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "bevfusion/report/experiment_figures.hpp"

namespace bevfusion {

/// Where an experiment comes from, as HTML: what was expected, data, versions, machines, its runs with seeds, and the commands
/// that repeat all of it or any row of it.
std::string origin_html(const FinishedExperiment& experiment);

}  // namespace bevfusion
