// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "bevfusion/map/map_class.hpp"
#include "bevfusion/model/model_config.hpp"
#include "bevfusion/nuscenes/detection_class.hpp"

namespace bevfusion {

/// What the outputs of a model's detection head stand for, in their order.
/// @throws std::invalid_argument for an unknown name, one given twice, or none
std::vector<DetectionClass> detection_labels(const ModelConfig& config);

/// Those of them whose peaks in the heat map are single cells.
/// @throws std::invalid_argument for an unknown name or one given twice
std::vector<DetectionClass> point_labels(const ModelConfig& config);

/// What the outputs of a model's segmentation head stand for, in their order.
/// @throws std::invalid_argument for an unknown name, one given twice, or none
std::vector<MapClass> map_labels(const ModelConfig& config);

}  // namespace bevfusion
