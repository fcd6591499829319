// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/config/run_config.hpp"

namespace bevfusion {

/// Refuses fields that a part which is chosen does not read where others of its kind do, as far as the parts are this program's
/// own, and distillation that the detection head cannot have.
/// @throws std::invalid_argument that names the field and says what it may be
void check_parts(const RunConfig& config, const LabelSets& sets);

}  // namespace bevfusion
