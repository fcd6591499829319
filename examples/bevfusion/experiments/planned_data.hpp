// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/experiments/experiment_plan.hpp"

namespace bevfusion {

/// The data set that is given, or the synthetic one of the size: OUT/data/KEY, the key saying all that makes it.
/// @param driving  a driver's scenes (bevfusion synth --driving), longer ones
/// @throws std::invalid_argument for one that is not there, and for `full`, for which none is made
PlannedData plan_data(const ExperimentOptions& options, bool driving);

}  // namespace bevfusion
