// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <vector>

#include "bevfusion/metrics/evaluated_class.hpp"
#include "bevfusion/metrics/per_class.hpp"

namespace bevfusion {

/// What the evaluation leaves open; the defaults are nuScenes' `detection_cvpr_2019`, which every published figure uses.
struct DetectionConfig {
  std::vector<EvaluatedClass> classes = nuscenes_classes();  ///< a DetectionClass is a position here
  std::vector<double> distance_thresholds = {0.5, 1, 2, 4};  ///< of matching, m
  double error_threshold = 2;                                ///< the one of them whose matches give the five errors, m
  double min_recall = 0.1;
  double min_precision = 0.1;
  std::size_t max_boxes_per_sample = 500;
  double mean_ap_weight = 5;  ///< of mAP in NDS, where each of the five errors has weight 1

  /// Throws std::invalid_argument for values that no evaluation can have.
  void check() const {
    if (classes.empty()) {
      throw std::invalid_argument("detection config: there must be a class");
    }
    if (error_threshold_index() == distance_thresholds.size()) {
      throw std::invalid_argument("detection config: error_threshold must be one of distance_thresholds");
    }
    if (!(min_recall >= 0 && min_recall <= 1)) {
      throw std::invalid_argument("detection config: min_recall must lie in [0, 1]");
    }
    if (!(min_precision >= 0 && min_precision < 1)) {
      throw std::invalid_argument("detection config: min_precision must lie in [0, 1)");
    }
  }

  /// Position of `error_threshold` among the thresholds.
  std::size_t error_threshold_index() const {
    const auto found = std::find(distance_thresholds.begin(), distance_thresholds.end(), error_threshold);
    return static_cast<std::size_t>(found - distance_thresholds.begin());
  }
};

}  // namespace bevfusion
