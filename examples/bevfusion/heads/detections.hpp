// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include <torch/types.h>

#include "bevfusion/nuscenes/detection_class.hpp"

namespace bevfusion {

/// What a detection head says of a batch. Codes are in cells and metres: see the box coder.
struct Detections {
  torch::Tensor heat_map;      ///< [B, classes, X, Y] logits, before the queries were chosen
  torch::Tensor class_logits;  ///< [B, classes, Q]
  torch::Tensor centre;        ///< [B, 2, Q], cells
  torch::Tensor height;        ///< [B, 1, Q], metres: z of the gravity centre
  torch::Tensor size;          ///< [B, 3, Q], ln of w, l, h in metres
  torch::Tensor heading;       ///< [B, 2, Q], sin and cos of yaw
  torch::Tensor velocity;      ///< [B, 2, Q], m/s
  torch::Tensor query_class;   ///< [B, Q] int64
  /// [B, classes, Q]: the heat map's probabilities at the query's cell. Below 0 where the head takes the query's box back, such
  /// as one beside a surer box of the same object.
  torch::Tensor query_score;
  /// What the outputs of the classes stand for; output k for class k of DetectionClass where empty.
  std::vector<DetectionClass> labels;

  DetectionClass label_of(std::int64_t output) const {
    return labels.empty() ? static_cast<DetectionClass>(output) : labels.at(static_cast<std::size_t>(output));
  }
};

/// The output that stands for a class, -1 where none does. See Detections::labels.
inline std::int64_t output_of(DetectionClass label, const std::vector<DetectionClass>& labels) {
  if (labels.empty()) {
    return static_cast<std::int64_t>(label);
  }
  const auto found = std::find(labels.begin(), labels.end(), label);
  return found == labels.end() ? -1 : found - labels.begin();
}

}  // namespace bevfusion
