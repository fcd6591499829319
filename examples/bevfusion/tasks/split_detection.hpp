// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/tasks/task_sheet.hpp"

namespace bevfusion {

/// Detection's loss in three, each a task to the calibration.
inline TaskSheet split_detection_sheet() {
  TaskSheet sheet;
  sheet.name = "split_detection";
  sheet.called = "detection in parts";
  sheet.splits = "detection";
  sheet.labels = TaskLabels::boxes;
  sheet.losses = {"box", "classification", "velocity"};
  return sheet;
}

}  // namespace bevfusion
