// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/metrics/detection_summary.hpp"
#include "bevfusion/metrics/map_iou.hpp"
#include "bevfusion/model/missing_input.hpp"
#include "bevfusion/model/network.hpp"
#include "bevfusion/nuscenes/tables.hpp"

namespace bevfusion {

/// How a set of samples is evaluated.
struct EvaluationOptions {
  std::vector<std::string> without;                   ///< modalities that are missing: the missing-modality tables
  Missing missing = Missing::maps;                    ///< how
  std::function<void(std::size_t samples)> progress;  ///< called with the samples done since the last call; may be empty
};

/// What an evaluation yields. Nothing for a task that the network has not.
struct EvaluationFigures {
  std::size_t samples = 0;
  std::size_t not_finite = 0;  ///< samples of which the network said something that is no number; there it found nothing
  std::optional<DetectionSummary> detection;
  std::optional<MapIou> segmentation;
  std::vector<std::string> map_names;         ///< of segmentation's classes
  std::optional<MapIou> foreground;           ///< of annotations with a LiDAR or radar point, those that nuScenes evaluates
  std::vector<std::string> foreground_names;  ///< of foreground's masks
  /// At thresholds 0.20, 0.25, 0.30, below the protocol's. They enter no mIoU, but a class whose IoU is larger here than there is
  /// one that the network is too unsure of.
  std::optional<MapIou> segmentation_below;
  std::optional<MapIou> foreground_below;
};

/// Runs the network over the samples in evaluation mode, without augmentation and gradients, and evaluates every task it has.
/// The network is left in the mode it was in.
/// @param samples  rows of tables.samples
/// @throws DataError for files that cannot be read; std::invalid_argument for a modality that the network has not
EvaluationFigures evaluate(Network& network, const Tables& tables, const std::vector<RowIndex>& samples, const RunConfig& config,
                           const EvaluationOptions& options = {});

}  // namespace bevfusion
