// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/metrics/detection_filter.hpp"
#include "bevfusion/metrics/evaluation_sample.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"

namespace bevfusion {

/// Whether nuScenes evaluates boxes of a sample, in the frame of its LiDAR.
class CountedBoxes {
 public:
  CountedBoxes(const Tables& tables, RowIndex sample, const DetectionLabels& labels)
      : labels_(labels),
        sample_(evaluation_sample(tables, sample, labels)),
        global_from_lidar_(key_frame_of(tables, sample, {1, labels}).global_from_lidar()) {
    protocol_.classes = evaluated_classes(labels);
  }

  /// @param points  of an annotation, LiDAR's and radar's; -1 for a prediction
  bool operator()(const Box3D& box, int points) const {
    DetectionBox global = submitted_box(box, 0, global_from_lidar_, labels_);
    global.point_count = points;
    return is_evaluated(global, sample_, protocol_);
  }

 private:
  const DetectionLabels& labels_;
  EvaluationSample sample_;
  RigidTransform global_from_lidar_;
  DetectionConfig protocol_;
};

}  // namespace bevfusion
