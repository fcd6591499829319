// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "bevfusion/metrics/detection_box.hpp"
#include "bevfusion/metrics/detection_config.hpp"

namespace bevfusion {

/// Whether a point (global frame) lies in the rack, its faces included.
inline bool contains(const BicycleRack& rack, const std::array<double, 3>& point) {
  const std::array<double, 3> local =
      into_frame(rack.rotation, {point[0] - rack.translation[0], point[1] - rack.translation[1], point[2] - rack.translation[2]});
  const auto [width, length, height] = rack.size;
  return std::abs(local[0]) <= length / 2 && std::abs(local[1]) <= width / 2 && std::abs(local[2]) <= height / 2;
}

/// Whether nuScenes evaluates a box of this sample: strictly within its class's range of the ego vehicle (in the ground plane),
/// not known to be without LiDAR and radar points, and not two-wheeled with its centre in a rack. Throws std::out_of_range for a
/// class that the config has not.
inline bool is_evaluated(const DetectionBox& box, const EvaluationSample& sample, const DetectionConfig& config) {
  const EvaluatedClass& of = config.classes.at(index_of(box.detection_class));
  const double dx = box.translation[0] - sample.ego[0];
  const double dy = box.translation[1] - sample.ego[1];
  if (!(std::sqrt(dx * dx + dy * dy) < of.range) || box.point_count == 0) {
    return false;
  }
  if (!of.two_wheeled) {
    return true;
  }
  return std::none_of(sample.bicycle_racks.begin(), sample.bicycle_racks.end(),
                      [&](const BicycleRack& rack) { return contains(rack, box.translation); });
}

/// Throws std::invalid_argument, with sample and box, for what nuScenes refuses (more predictions than allowed; NaN in centre,
/// size, rotation or score) and for infinite values there, with which its figures mean nothing.
inline void check_sample(const EvaluationSample& sample, const DetectionConfig& config) {
  if (sample.predictions.size() > config.max_boxes_per_sample) {
    throw std::invalid_argument("sample " + sample.token + ": " + std::to_string(sample.predictions.size()) +
                                " predicted boxes, but at most " + std::to_string(config.max_boxes_per_sample) + " are allowed");
  }
  const auto is_finite = [](double value) { return std::isfinite(value); };
  const auto check_boxes = [&](const std::vector<DetectionBox>& boxes, std::string_view kind) {
    for (std::size_t i = 0; i < boxes.size(); ++i) {
      const DetectionBox& box = boxes[i];
      const bool good = std::all_of(box.translation.begin(), box.translation.end(), is_finite) &&
                        std::all_of(box.size.begin(), box.size.end(), is_finite) &&
                        std::all_of(box.rotation.begin(), box.rotation.end(), is_finite) && is_finite(box.score);
      if (!good) {
        throw std::invalid_argument("sample " + sample.token + ", " + std::string(kind) + " box " + std::to_string(i) +
                                    ": translation, size, rotation and score must be finite");
      }
    }
  };
  check_boxes(sample.truth, "annotated");
  check_boxes(sample.predictions, "predicted");
}

/// The samples with nothing but the boxes that are evaluated, in the order they had.
inline std::vector<EvaluationSample> evaluated_only(std::vector<EvaluationSample> samples, const DetectionConfig& config) {
  for (EvaluationSample& sample : samples) {
    const auto drop = [&](const DetectionBox& box) { return !is_evaluated(box, sample, config); };
    sample.truth.erase(std::remove_if(sample.truth.begin(), sample.truth.end(), drop), sample.truth.end());
    sample.predictions.erase(std::remove_if(sample.predictions.begin(), sample.predictions.end(), drop),
                             sample.predictions.end());
  }
  return samples;
}

}  // namespace bevfusion
