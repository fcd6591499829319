// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bevfusion/metrics/evaluated_class.hpp"
#include "bevfusion/metrics/per_class.hpp"
#include "bevfusion/nuscenes/detection_class.hpp"
#include "bevfusion/pictures/image.hpp"

namespace bevfusion {

/// A class of boxes: the categories of nuScenes that it is made of, how it is evaluated, and what becomes of it.
struct DetectionLabel : EvaluatedClass {
  std::vector<std::string> categories;
  Colour colour{};                         ///< in pictures
  bool point = false;                      ///< its peaks in the heat map are single cells
  std::string group;                       ///< which it shares a mask of foreground segmentation with
  Attribute resting = Attribute::none;     ///< the attribute that a speed of up to moving_speed suggests
  Attribute travelling = Attribute::none;  ///< and one above
  double moving_speed = 0.2;               ///< m/s, as BEVFusion submits attributes
};

/// Names of what a label is made of.
inline const std::vector<std::string>& made_of(const DetectionLabel& label) { return label.categories; }

/// Classes of boxes; a DetectionClass is a position here.
using DetectionLabels = std::vector<DetectionLabel>;

/// The groups that the labels fall into, in the order in which they begin; a label without a group is one of its own.
inline std::vector<std::string> groups_of(const DetectionLabels& labels) {
  std::vector<std::string> groups;
  for (const DetectionLabel& label : labels) {
    const std::string& group = label.group.empty() ? label.name : label.group;
    if (std::find(groups.begin(), groups.end(), group) == groups.end()) groups.push_back(group);
  }
  return groups;
}

/// Class of a nuScenes category name ("vehicle.bus.rigid"), or nothing for those that the labels leave out.
inline std::optional<DetectionClass> class_of_category(const DetectionLabels& labels, std::string_view category) {
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::vector<std::string>& own = labels[i].categories;
    if (std::find(own.begin(), own.end(), category) != own.end()) return static_cast<DetectionClass>(i);
  }
  return std::nullopt;
}

/// The attribute that class and speed (m/s) suggest.
inline Attribute attribute_by_speed(const DetectionLabel& label, double speed) {
  return speed > label.moving_speed ? label.travelling : label.resting;
}

/// What the evaluation takes of the labels.
inline std::vector<EvaluatedClass> evaluated_classes(const DetectionLabels& labels) { return {labels.begin(), labels.end()}; }

}  // namespace bevfusion
