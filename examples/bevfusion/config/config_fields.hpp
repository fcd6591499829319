// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "bevfusion/config/config_field.hpp"

namespace bevfusion {

/// Every field of a config that can be chosen, in the order of the sections; those that follow from others (see complete()) and
/// those that the network fills in are none.
std::vector<ConfigField> fields_of(RunConfig& config);

void add_model_fields(FieldList& list, ModelConfig& model);
void add_data_fields(FieldList& list, DataConfig& data);
void add_loading_fields(FieldList& list, LoadingOptions& loading);
void add_training_fields(FieldList& list, TrainingConfig& training);
/// @param tasks  that have a static weight
void add_loss_fields(FieldList& list, LossConfig& losses, const TaskChoices& tasks);
/// What tasks take from the config beside what all have.
void add_task_fields(FieldList& list, TaskChoices& tasks);
void add_calibration_fields(FieldList& list, CalibrationConfig& calibration);
void add_distillation_fields(FieldList& list, DistillationConfig& distillation);

}  // namespace bevfusion
