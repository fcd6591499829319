// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace bevfusion {

/// What the evaluation has to know of a class.
struct EvaluatedClass {
  std::string name;
  double range = 50;         ///< boxes nearer to the ego vehicle than this are evaluated, m
  bool has_heading = true;   ///< else no orientation error
  bool moves = true;         ///< else neither velocity nor attribute error
  bool symmetric = false;    ///< front and back are alike
  bool two_wheeled = false;  ///< not evaluated in a bicycle rack
};

/// The ten classes of nuScenes' `detection_cvpr_2019`, in its order: that of DetectionClass.
inline const std::vector<EvaluatedClass>& nuscenes_classes() {
  static const std::vector<EvaluatedClass> classes = {{"car"},
                                                      {"truck"},
                                                      {"bus"},
                                                      {"trailer"},
                                                      {"construction_vehicle"},
                                                      {"pedestrian", 40},
                                                      {"motorcycle", 40, true, true, false, true},
                                                      {"bicycle", 40, true, true, false, true},
                                                      {"traffic_cone", 30, false, false},
                                                      {"barrier", 30, true, false, true}};
  return classes;
}

}  // namespace bevfusion
