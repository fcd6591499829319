// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/tasks/task_sheet.hpp"

namespace bevfusion {

/// Way-points, steer, throttle and brake as tasks of their own, as DMFuser's repository weights them.
inline TaskSheet split_controls_sheet() {
  TaskSheet sheet;
  sheet.name = "split_controls";
  sheet.called = "controls in parts";
  sheet.splits = "controls";
  sheet.losses = {"way", "steer", "throttle", "brake"};
  return sheet;
}

}  // namespace bevfusion
