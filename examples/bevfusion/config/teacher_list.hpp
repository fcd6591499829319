// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace bevfusion {

/// The pairs of distillation.teachers, `task=RUN` parted by commas.
/// @throws std::invalid_argument for what is no such list, and a task that comes twice
std::vector<std::pair<std::string, std::string>> teachers_in(const std::string& list);
/// The list of such pairs.
std::string teacher_list(const std::vector<std::pair<std::string, std::string>>& teachers);

}  // namespace bevfusion
