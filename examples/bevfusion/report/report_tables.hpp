// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "bevfusion/report/comparison.hpp"

namespace bevfusion {

using TableRows = std::vector<std::vector<std::string>>;

/// A row a group: runs, the figures of the tasks, Delta_MTL in percent, Lambda_MTL in points (hundredths).
TableRows result_rows(const std::vector<RunGroup>& groups);

/// A row a group, over all steps: gamma_task and its weighted value, gamma_modal (median and mean each), conflict share, cosine,
/// seconds a step, share of them spent waiting for data.
TableRows gradient_rows(const std::vector<RunGroup>& groups);

/// A row for each group and left-out sensor; the head alone where nothing was evaluated so.
TableRows missing_rows(const std::vector<RunGroup>& groups);

/// A line a run, with its group, figures, Delta_MTL and Lambda_MTL, and its gradients' figures: numbers, nothing rounded off.
std::vector<std::string> csv_lines(const std::vector<RunGroup>& groups);

/// All of it, with the divisors.
nlohmann::ordered_json report_json(const std::vector<RunGroup>& groups, const ComparisonOptions& options);

}  // namespace bevfusion
