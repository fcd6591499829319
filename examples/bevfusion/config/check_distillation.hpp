// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/config/run_config.hpp"

namespace bevfusion {

/// Looks for teachers that cannot be, and for fields of distillation that nothing reads.
/// @throws std::invalid_argument that names the field and says what it may be
void check_distillation(const RunConfig& config);

}  // namespace bevfusion
