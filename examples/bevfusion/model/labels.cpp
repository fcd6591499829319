// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/model/labels.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

namespace bevfusion {
namespace {

/// Where the labels that a list names stand in their set; all of them for an empty list.
template <class Position = DetectionClass, class Label>
std::vector<Position> positions(const std::string& field, const std::string& list, const std::vector<Label>& set) {
  std::vector<Position> found;
  if (list.empty()) {
    for (std::size_t i = 0; i < set.size(); ++i) {
      found.push_back(static_cast<Position>(i));
    }
    return found;
  }
  for (const std::string& name : names_in(list)) {
    const auto called = [&name](const Label& label) { return label.name == name; };
    const auto at = std::find_if(set.begin(), set.end(), called);
    if (at == set.end()) {
      std::string all;
      for (const Label& label : set) {
        all += (all.empty() ? "" : ", ") + label.name;
      }
      throw std::invalid_argument("model." + field + " names '" + name + "'; there are: " + all);
    }
    const auto position = static_cast<Position>(at - set.begin());
    if (std::find(found.begin(), found.end(), position) != found.end()) {
      throw std::invalid_argument("model." + field + " names '" + name + "' twice");
    }
    found.push_back(position);
  }
  if (found.empty()) {
    throw std::invalid_argument("model." + field + " names no class");
  }
  return found;
}

}  // namespace

const DetectionLabels& box_labels(const ModelConfig& config, const LabelSets& sets) {
  return sets.detection.at(config.detection_label_set);
}

std::vector<DetectionClass> detection_labels(const ModelConfig& config, const LabelSets& sets) {
  return positions("detection_classes", config.detection_classes, box_labels(config, sets));
}

std::vector<DetectionClass> point_labels(const ModelConfig& config, const LabelSets& sets) {
  const DetectionLabels& labels = box_labels(config, sets);
  std::vector<DetectionClass> points;
  if (config.point_classes == "set") {
    for (std::size_t i = 0; i < labels.size(); ++i) {
      if (labels[i].point) {
        points.push_back(static_cast<DetectionClass>(i));
      }
    }
  } else if (!names_in(config.point_classes).empty()) {
    points = positions("point_classes", config.point_classes, labels);
  }
  return points;
}

MapLabels map_labels(const ModelConfig& config, const LabelSets& sets) {
  const MapLabels& set = sets.map.at(config.map_label_set);
  MapLabels labels;
  for (const std::size_t position : positions<std::size_t>("map_classes", config.map_classes, set)) {
    labels.push_back(set[position]);
  }
  return labels;
}

}  // namespace bevfusion
