// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/tasks/task_sheet.hpp"

namespace bevfusion {

/// Numbers of a task that plans way-points.
inline std::vector<NumberSheet> waypoint_numbers() {
  return {{"hidden", 64, 8, 4096, "Width of the GRU's state, a multiple of 4; DMFuser's repository has 328"},
          {"squares", 4, 1, 16, "Squares along a side that the shared map is averaged over; 1: the whole map, as there"}};
}

/// Where the car will be in 0.5, 1 and 1.5 s, as DMFuser's repository predicts it.
inline TaskSheet waypoints_sheet() {
  TaskSheet sheet;
  sheet.name = "waypoints";
  sheet.called = "way-points";
  sheet.help = "Task: where the car will be in 0.5, 1 and 1.5 s";
  sheet.weight_help = "Static weight of the way-points' loss";
  sheet.numbers = waypoint_numbers();
  sheet.figures = {{"waypoint_L2", "way-point L2, m", /*lower_is_better=*/true, /*share=*/false}};
  DetailSheet measures;
  measures.heading = "Way-points";
  measures.text =
      "Distance of the predicted places from those that the car drove to; the share of them where its body overlaps an annotated "
      "box of that time, or leaves the drivable area; and these shares of the way that was driven. Small is good.";
  measures.path = {"waypoints"};
  measures.titles = {{"L2_0.5s", "L2 at 0.5 s, m"},
                     {"L2_1.0s", "at 1 s"},
                     {"L2_1.5s", "at 1.5 s"},
                     {"collision_rate", "collisions"},
                     {"off_road_rate", "off the road"},
                     {"driven_collision_rate", "collisions, driven"},
                     {"driven_off_road_rate", "off the road, driven"}};
  measures.lower_is_better = true;
  sheet.details = {measures};
  return sheet;
}

}  // namespace bevfusion
