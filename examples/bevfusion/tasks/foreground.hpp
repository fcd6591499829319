// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/tasks/task_sheet.hpp"

namespace bevfusion {

/// Masks of objects' footprints, FULLER's third task.
inline TaskSheet foreground_sheet() {
  TaskSheet sheet;
  sheet.name = "foreground";
  sheet.called = "foreground segmentation";
  sheet.help = "Task: masks of objects' footprints";
  sheet.weight_help = "Static weight of the foreground loss";
  sheet.labels = TaskLabels::boxes;
  sheet.figures = {{"foreground_mIoU", "foreground mIoU"}};
  DetailSheet by_mask;
  by_mask.heading = "Foreground by mask";
  by_mask.path = {"foreground"};
  by_mask.value = "IoU";
  by_mask.threshold = "threshold";
  by_mask.head = "IoU of";
  sheet.details = {by_mask};
  return sheet;
}

}  // namespace bevfusion
