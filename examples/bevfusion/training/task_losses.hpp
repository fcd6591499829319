// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include <torch/types.h>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/model/network.hpp"
#include "bevfusion/training/training_data.hpp"

namespace bevfusion {

/// Runs the heads of the tasks that the batch has labels of; not of those that look at pictures where there are none.
/// @param shared  the shared representation for each task of the tower, or one for all
/// @param input   of the batch, on the network's device; the batch's own where it still has it
Outputs labelled_outputs(BevFusion& tower, const std::vector<SharedFeatures>& shared, const ModelInput& input,
                         const TrainingBatch& batch);
Outputs labelled_outputs(BevFusion& tower, const std::vector<SharedFeatures>& shared, const TrainingBatch& batch);

/// The losses of a tower's tasks, in the order of task_names() and without static weights; undefined where the batch has no label
/// of the task. A sample without boxes as labels enters no task of boxes; a layer of the map that is not labelled enters no task
/// of the map.
/// @param config  the run's, its model with the tower's parts
std::vector<torch::Tensor> task_losses(const BevFusion& tower, const Outputs& outputs, const TrainingBatch& batch,
                                       const RunConfig& config);

}  // namespace bevfusion
