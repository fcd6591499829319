// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/model/labels.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>
#include <string_view>

namespace bevfusion {
namespace {

template <class Label, std::size_t count>
std::vector<Label> labels_of(const std::string& field, const std::string& list,
                             const std::array<std::string_view, count>& known) {
  std::vector<Label> labels;
  for (const std::string& name : names_in(list)) {
    const auto found = std::find(known.begin(), known.end(), name);
    if (found == known.end()) {
      std::string all;
      for (const std::string_view each : known) {
        all += (all.empty() ? "" : ", ") + std::string(each);
      }
      throw std::invalid_argument("model." + field + " names '" + name + "'; there are: " + all);
    }
    const auto label = static_cast<Label>(found - known.begin());
    if (std::find(labels.begin(), labels.end(), label) != labels.end()) {
      throw std::invalid_argument("model." + field + " names '" + name + "' twice");
    }
    labels.push_back(label);
  }
  return labels;
}

template <class Label>
std::vector<Label> some(const std::string& field, std::vector<Label> labels) {
  if (labels.empty()) {
    throw std::invalid_argument("model." + field + " names no class");
  }
  return labels;
}

}  // namespace

std::vector<DetectionClass> detection_labels(const ModelConfig& config) {
  return some("detection_classes",
              labels_of<DetectionClass>("detection_classes", config.detection_classes, detection_class_names));
}

std::vector<DetectionClass> point_labels(const ModelConfig& config) {
  return labels_of<DetectionClass>("point_classes", config.point_classes, detection_class_names);
}

std::vector<MapClass> map_labels(const ModelConfig& config) {
  return some("map_classes", labels_of<MapClass>("map_classes", config.map_classes, map_class_names));
}

}  // namespace bevfusion
