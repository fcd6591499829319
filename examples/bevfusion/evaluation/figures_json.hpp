// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "bevfusion/evaluation/evaluate.hpp"

namespace bevfusion {

/// The headline figures: mAP, NDS, mIoU, foreground_mIoU, each where the network has the task. NaN (nothing labelled) is null.
nlohmann::ordered_json headline_json(const EvaluationFigures& figures);

/// All figures: the headline, `without`, sample counts, nuScenes' `metrics_summary` under "detection", and for each class of
/// "segmentation" and "foreground" its IoU, threshold and the IoU at every threshold.
nlohmann::ordered_json figures_json(const EvaluationFigures& figures, const std::vector<std::string>& without);

/// Names of the masks of foreground segmentation, for 1, one a group or one a label.
std::vector<std::string> foreground_names(std::size_t masks, const DetectionLabels& labels);

}  // namespace bevfusion
