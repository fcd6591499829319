// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/report/styled_table.hpp"
#include "bevfusion/tasks/task_sheet.hpp"

namespace bevfusion {

/// result_rows() with the best of each column in bold, without columns that nobody fills.
StyledTable result_table(const std::vector<RunGroup>& groups);

/// A table of figures by class as a task's sheet has it, the best of each in bold: a column a group, with the thresholds that the
/// protocol picked ("0.412 ± 0.010 at 0.35, 0.40"), or a row a group. The head alone where no run has such figures.
StyledTable detail_table(const std::vector<RunGroup>& groups, const DetailSheet& detail);

}  // namespace bevfusion
