// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "bevfusion/evaluation/evaluate.hpp"

namespace bevfusion {

/// The headline figures of the network's tasks: mAP, NDS, mIoU, .... NaN (nothing labelled) is null.
nlohmann::ordered_json headline_json(const EvaluationFigures& figures);

/// All figures: the headline, `without`, sample counts, and what each task adds: nuScenes' `metrics_summary` under "detection",
/// for each class of "segmentation" and "foreground" its IoU, threshold and the IoU at every threshold.
nlohmann::ordered_json figures_json(const EvaluationFigures& figures, const std::vector<std::string>& without);

}  // namespace bevfusion
