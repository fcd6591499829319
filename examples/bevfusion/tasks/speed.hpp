// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/tasks/task_sheet.hpp"

namespace bevfusion {

/// How fast the car goes, from what its sensors see alone, as DMFuser's repository predicts it.
inline TaskSheet speed_sheet() {
  TaskSheet sheet;
  sheet.name = sheet.called = "speed";
  sheet.help = "Task: how fast the car goes";
  sheet.weight_help = "Static weight of the speed's loss";
  sheet.numbers = {{"squares", 4, 1, 16, "Squares along a side that the shared map is averaged over"}};
  sheet.figures = {{"speed_error", "speed error, m/s", /*lower_is_better=*/true, /*share=*/false}};
  return sheet;
}

}  // namespace bevfusion
