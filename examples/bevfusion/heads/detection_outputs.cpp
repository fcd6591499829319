// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>

#include "bevfusion/heads/detection_head.hpp"
#include "bevfusion/model/labels.hpp"

namespace bevfusion {

DetectionOutputs detection_outputs(const ModelConfig& config, const LabelSets& sets) {
  const DetectionLabels& set = box_labels(config, sets);
  const std::vector<DetectionClass> labels = detection_labels(config, sets);
  const std::vector<DetectionClass> points = point_labels(config, sets);
  DetectionOutputs outputs;
  outputs.classes = static_cast<std::int64_t>(labels.size());
  for (std::size_t k = 0; k < labels.size(); ++k) {
    outputs.names.push_back(set.at(index_of(labels[k])).name);
    if (std::find(points.begin(), points.end(), labels[k]) != points.end()) {
      outputs.points.push_back(static_cast<std::int64_t>(k));
    }
  }
  return outputs;
}

}  // namespace bevfusion
