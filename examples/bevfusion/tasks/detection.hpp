// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/tasks/task_sheet.hpp"

namespace bevfusion {

/// Boxes, by nuScenes' protocol.
inline TaskSheet detection_sheet() {
  TaskSheet sheet;
  sheet.name = sheet.called = "detection";
  sheet.on = true;
  sheet.help = "Task: boxes";
  sheet.weight_help = "Static weight of the detection loss";
  sheet.labels = TaskLabels::boxes;
  sheet.figures = {{"mAP", "mAP"}, {"NDS", "NDS"}};
  DetailSheet by_class;
  by_class.heading = "Detection by class";
  by_class.text = "AP is the mean over nuScenes' four matching distances.";
  by_class.path = {"detection", "mean_dist_aps"};
  by_class.head = "AP of";
  DetailSheet errors;
  errors.heading = "True-positive errors";
  errors.text = "nuScenes' five, the mean over the classes that have them; small is good.";
  errors.path = {"detection", "tp_errors"};
  errors.titles = {{"trans_err", "translation, m"},
                   {"scale_err", "scale, 1 - IoU"},
                   {"orient_err", "orientation, rad"},
                   {"vel_err", "velocity, m/s"},
                   {"attr_err", "attribute, 1 - accuracy"}};
  errors.lower_is_better = true;
  sheet.details = {by_class, errors};
  return sheet;
}

}  // namespace bevfusion
