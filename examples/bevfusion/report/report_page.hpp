// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <vector>

#include "bevfusion/report/comparison.hpp"

namespace bevfusion {

/// Writes one HTML page with the tables, and with the runs' figures, losses, gradient ratios, conflicts, weights and gates over
/// the epochs: a line a group, the mean of its runs.
/// @throws std::runtime_error where it cannot be written
void write_page(const std::filesystem::path& file, const std::vector<RunGroup>& groups, const ComparisonOptions& options);

}  // namespace bevfusion
