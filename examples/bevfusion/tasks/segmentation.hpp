// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/tasks/task_sheet.hpp"

namespace bevfusion {

/// Masks of the map's classes, by BEVFusion's protocol.
inline TaskSheet segmentation_sheet() {
  TaskSheet sheet;
  sheet.name = sheet.called = "segmentation";
  sheet.on = true;
  sheet.help = "Task: map masks";
  sheet.weight_help = "Static weight of the map loss (FULLER: 1, 5, 10)";
  sheet.weight_alias = "segmentation-weight";
  sheet.labels = TaskLabels::map;
  sheet.figures = {{"mIoU", "mIoU"}};
  DetailSheet by_class;
  by_class.heading = "Map by class";
  by_class.text = "IoU at the threshold of 0.35 ... 0.65 that served the class best, which is named after it.";
  by_class.path = {"segmentation"};
  by_class.value = "IoU";
  by_class.threshold = "threshold";
  by_class.head = "IoU of";
  sheet.details = {by_class};
  return sheet;
}

}  // namespace bevfusion
