// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/evaluation/sensor_failure.hpp"
#include "bevfusion/model/network.hpp"
#include "bevfusion/nuscenes/tables.hpp"
#include "bevfusion/tasks/sample_prediction.hpp"

namespace bevfusion {

/// Runs the network over the samples, in their order, and hands each to `take`: in evaluation mode, without gradients and
/// augmentation, with the run's device, precision and batch size, loading ahead. Every module is left in the mode it was in.
/// @param failure  what of the sensors is missing
/// @throws DataError for files that cannot be read; std::invalid_argument for a modality that the network has not, or map labels
///   in config.loading that are not its own
void predict(Network& network, const Tables& tables, const std::vector<RowIndex>& samples, const RunConfig& config,
             const std::function<void(const SamplePrediction&)>& take, const SensorFailure& failure = {});

}  // namespace bevfusion
