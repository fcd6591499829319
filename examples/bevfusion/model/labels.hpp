// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/model/model_config.hpp"
#include "bevfusion/nuscenes/detection_class.hpp"

namespace bevfusion {

/// The labels that a model's boxes may have; a DetectionClass is a position among them.
/// @param sets  the sets that the config may name
/// @throws std::invalid_argument for an unknown set
const DetectionLabels& box_labels(const ModelConfig& config, const LabelSets& sets = label_sets());

/// What the outputs of a model's detection head stand for, in their order.
/// @throws std::invalid_argument for an unknown set, or a list of classes that is not empty with an unknown name, one given
/// twice,
///   or none
std::vector<DetectionClass> detection_labels(const ModelConfig& config, const LabelSets& sets = label_sets());

/// Those of the set whose peaks in the heat map are single cells.
/// @throws std::invalid_argument for an unknown name or one given twice
std::vector<DetectionClass> point_labels(const ModelConfig& config, const LabelSets& sets = label_sets());

/// What the outputs of a model's segmentation head stand for, in their order.
/// @param sets  the sets that the config may name
/// @throws std::invalid_argument for an unknown set, or a list of classes that is not empty with an unknown name, one given
/// twice,
///   or none
MapLabels map_labels(const ModelConfig& config, const LabelSets& sets = label_sets());

}  // namespace bevfusion
