// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/commands/experiment_command.hpp"

namespace bevfusion {

/// This program, for `experiment`.
TrainingProgram this_training_program();

}  // namespace bevfusion
