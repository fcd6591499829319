// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/tasks/task_sheet.hpp"

namespace bevfusion {

/// What each pixel of the cameras' pictures shows, as DMFuser's decoder on its camera branch says it.
inline TaskSheet camera_segmentation_sheet() {
  TaskSheet sheet;
  sheet.name = "camera_segmentation";
  sheet.called = "camera segmentation";
  sheet.help = "Task: classes of the cameras' pixels; labels are in camera_masks/, which nuScenes has not";
  sheet.weight_help = "Static weight of the loss of the cameras' pixels";
  sheet.numbers = {{"channels", 32, 1, 4096, "Channels of the decoder"}};
  sheet.figures = {{"camera_mIoU", "camera mIoU"}};
  DetailSheet by_class;
  by_class.heading = "Cameras' pixels by class";
  by_class.text = "IoU over all labelled pixels; of classes that some pixel shows.";
  by_class.path = {"camera_segmentation"};
  by_class.value = "IoU";
  by_class.head = "IoU of";
  sheet.details = {by_class};
  return sheet;
}

}  // namespace bevfusion
