// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "bevfusion/geometry/box.hpp"
#include "bevfusion/geometry/rigid_transform.hpp"
#include "bevfusion/heads/detections.hpp"
#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/matching/box_coder.hpp"
#include "bevfusion/metrics/detection_box.hpp"

namespace bevfusion {

/// A predicted box in the frame of LIDAR_TOP, and how sure the network is of it.
struct ScoredBox {
  Box3D box;
  double score = 0;  ///< in [0, 1]
};

/// The boxes of sample `b`, surest first: a query's class is that of the heat map it was found in, and its score sigmoid(class
/// logit) times the heat map's probability at its cell (TransFusion, BEVFusion). Nothing is suppressed but what the head itself
/// took back (Detections::query_score).
///
/// Boxes whose centre lies beyond the limits are left out, and so are those with numbers that no box can have (not finite, or a
/// size that vanishes), which a network that diverged may utter.
std::vector<ScoredBox> scored_boxes(const Detections& detections, std::int64_t b, const BoxCoder& coder,
                                    const CentreLimits& limits = {});

/// Boxes as nuScenes wants them submitted, in the global frame. As in BEVFusion, those farther from the ego vehicle than their
/// class is evaluated are left out; of the others the surest stay, as many as are allowed.
/// @param boxes  surest first
/// @param most   that nuScenes takes of a sample
std::vector<DetectionBox> submission_boxes(const std::vector<ScoredBox>& boxes, const RigidTransform& ego_from_lidar,
                                           const RigidTransform& global_from_ego,
                                           const DetectionLabels& labels = standard_boxes(), std::size_t most = 500);

}  // namespace bevfusion
