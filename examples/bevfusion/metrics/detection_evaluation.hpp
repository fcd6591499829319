// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <utility>
#include <vector>

#include "bevfusion/metrics/detection_box.hpp"
#include "bevfusion/metrics/detection_config.hpp"
#include "bevfusion/metrics/detection_curves.hpp"
#include "bevfusion/metrics/detection_filter.hpp"
#include "bevfusion/metrics/detection_summary.hpp"

namespace bevfusion {

/// What an evaluation yields: the figures, and the curves they come from (per class and matching distance).
struct DetectionEvaluation {
  DetectionSummary summary;
  PerClass<std::vector<DetectionCurves>> curves;
};

/// nuScenes detection evaluation of a set of samples: filtering, matching, AP, the five errors, mAP and NDS, with the rules of
/// its devkit (`DetectionEval`). Where no sample has any box the devkit refuses; here mAP and NDS are 0.
///
/// Deterministic. Throws std::invalid_argument, naming sample and box, for too many boxes, numbers that are not finite, sizes <=
/// 0 of matched boxes, or a config that cannot be.
inline DetectionEvaluation evaluate_detection(std::vector<EvaluationSample> samples, const DetectionConfig& config = {}) {
  const auto start = std::chrono::steady_clock::now();
  config.check();
  for (const EvaluationSample& sample : samples) {
    check_sample(sample, config);
  }
  samples = evaluated_only(std::move(samples), config);
  DetectionEvaluation out;
  out.curves.resize(config.classes.size());
  for (std::size_t c = 0; c < config.classes.size(); ++c) {
    for (const double threshold : config.distance_thresholds) {
      out.curves[c].push_back(accumulate(samples, config, static_cast<DetectionClass>(c), threshold));
    }
  }
  out.summary = summarise(out.curves, config);
  for (const EvaluationSample& sample : samples) {
    for (const DetectionBox& box : sample.truth) {
      ++out.summary.truth_counts[index_of(box.detection_class)];
    }
  }
  out.summary.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return out;
}

}  // namespace bevfusion
