// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/config/run_config.hpp"

namespace bevfusion {

/// Refuses numbers of a detection head that the one which is chosen does not read, and distillation that it cannot have.
/// @throws std::invalid_argument that names the field and says what it may be
void check_detection_head(const RunConfig& config, const LabelSets& sets);

}  // namespace bevfusion
