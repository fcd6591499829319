// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/report/styled_table.hpp"

namespace bevfusion {

/// result_rows() with the best of each column in bold, without columns that nobody fills.
StyledTable result_table(const std::vector<RunGroup>& groups);

/// AP by class, a column a group; the best of a class in bold. The head alone where nobody detects.
StyledTable class_ap_table(const std::vector<RunGroup>& groups);

/// nuScenes' five true-positive errors, a row a group; the least in bold.
StyledTable error_table(const std::vector<RunGroup>& groups);

/// IoU by map class and the thresholds that the protocol picked ("0.412 ± 0.010 at 0.35, 0.40"), a column a group.
StyledTable map_iou_table(const std::vector<RunGroup>& groups);

/// The same of foreground masks.
StyledTable foreground_iou_table(const std::vector<RunGroup>& groups);

}  // namespace bevfusion
