// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/tasks/task_sheet.hpp"
#include "bevfusion/tasks/waypoints.hpp"

namespace bevfusion {

/// Steer, throttle and brake, chained after way-points of its own, as DMFuser's repository predicts them.
inline TaskSheet controls_sheet() {
  TaskSheet sheet = waypoints_sheet();
  sheet.name = sheet.called = "controls";
  sheet.help = "Task: steer, throttle and brake, after way-points; labels are in nuScenes' CAN bus expansion";
  sheet.weight_help = "Static weight of the loss of controls and their way-points";
  sheet.figures = {{"control_error", "control error", /*lower_is_better=*/true, /*share=*/false}};
  sheet.details[0].heading = "Way-points that controls follow";
  sheet.details[0].path = {"controls", "waypoints"};
  DetailSheet errors;
  errors.heading = "Controls";
  errors.text = "Mean absolute errors, of a steering lock of 1 to either side, full throttle and full brake. Small is good.";
  errors.path = {"controls", "errors"};
  errors.titles = {{"steer", "steer"}, {"throttle", "throttle"}, {"brake", "brake"}};
  errors.lower_is_better = true;
  sheet.details.push_back(errors);
  return sheet;
}

}  // namespace bevfusion
