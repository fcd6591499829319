// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/tasks/task_sheet.hpp"

namespace bevfusion {

/// Whether the traffic light ahead is red, as DMFuser's repository predicts it.
inline TaskSheet red_light_sheet() {
  TaskSheet sheet;
  sheet.name = "red_light";
  sheet.called = "red lights";
  sheet.help = "Task: whether a light ahead is red; labels are in traffic_lights/, which nuScenes has not";
  sheet.weight_help = "Static weight of the red lights' loss";
  sheet.numbers = {{"squares", 4, 1, 16, "Squares along a side that the shared map is averaged over"},
                   {"reach", 25, 1, 100, "A light farther away than this is none, m"}};
  sheet.figures = {{"red_light_accuracy", "red light, balanced accuracy"}};
  DetailSheet shares;
  shares.heading = "Red lights";
  shares.text = "Found of those that are red, and left alone of the others; balanced accuracy is their mean.";
  shares.path = {"red_light"};
  shares.titles = {{"found", "found"}, {"left_alone", "left alone"}, {"red_share", "samples with red"}};
  sheet.details = {shares};
  return sheet;
}

}  // namespace bevfusion
