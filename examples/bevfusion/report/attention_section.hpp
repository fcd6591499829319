// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "bevfusion/report/comparison.hpp"

namespace bevfusion {

/// Where the sensors of each group's first run with such pictures look at each other: those that `attention --out RUN/attention`
/// drew of its first sample, as HTML that shows the files where they lie. Empty where there are none.
std::string attention_section(const std::vector<RunGroup>& groups, const std::filesystem::path& page_folder);

}  // namespace bevfusion
