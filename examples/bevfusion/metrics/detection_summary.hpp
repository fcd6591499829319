// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "bevfusion/metrics/box_errors.hpp"
#include "bevfusion/metrics/detection_config.hpp"
#include "bevfusion/metrics/detection_curves.hpp"
#include "bevfusion/metrics/per_class.hpp"

namespace bevfusion {

/// The figures of nuScenes' `metrics_summary.json`. NaN marks an error that a class does not have.
struct DetectionSummary {
  PerClass<std::vector<double>> label_aps;  ///< AP, per matching distance
  PerClass<double> mean_distance_aps;       ///< mean of it over the distances
  double mean_ap = 0;                       ///< mean of that over all classes
  PerClass<PerError<double>> label_errors;  ///< m, 1 - IoU, rad, m/s, 1 - accuracy
  PerError<double> errors{};                ///< mean over the classes that have the error
  PerError<double> error_scores{};          ///< max(0, 1 - error)
  double nd_score = 0;                      ///< NDS
  double seconds = 0;                       ///< spent evaluating
  DetectionConfig config;
  PerClass<std::size_t> truth_counts;  ///< evaluated annotations; not one of nuScenes' figures

  /// Mean AP over the classes that have an annotation, NaN if none has: for data sets that lack classes, beside `mean_ap`,
  /// which counts those as 0.
  double mean_ap_of_present_classes() const {
    double sum = 0;
    double count = 0;
    for (std::size_t c = 0; c < truth_counts.size(); ++c) {
      if (truth_counts[c] > 0) {
        sum += mean_distance_aps[c];
        count += 1;
      }
    }
    return count > 0 ? sum / count : std::numeric_limits<double>::quiet_NaN();
  }
};

/// First recall bin that counts: the one after min_recall.
inline std::size_t first_bin(double min_recall) { return static_cast<std::size_t>(std::nearbyint(100 * min_recall)) + 1; }

/// Mean of max(0, precision - min_precision) over the recalls above min_recall, over 1 - min_precision: AP in [0, 1].
inline double average_precision(const DetectionCurves& curves, double min_recall, double min_precision) {
  double sum = 0;
  for (std::size_t bin = first_bin(min_recall); bin < DetectionCurves::bins; ++bin) {
    sum += std::max(0.0, curves.precision[bin] - min_precision);
  }
  const auto count = static_cast<double>(DetectionCurves::bins - std::min(first_bin(min_recall), DetectionCurves::bins));
  return sum / count / (1 - min_precision);
}

/// Mean of an error's curve from above min_recall to the recall that was reached; 1 if that is not above min_recall.
inline double mean_error(const DetectionCurves& curves, BoxError error, double min_recall) {
  const std::size_t first = first_bin(min_recall);
  const std::size_t last = curves.max_recall_bin();
  if (last < first) {
    return 1;
  }
  double sum = 0;
  for (std::size_t bin = first; bin <= last; ++bin) {
    sum += curves.errors[index_of(error)][bin];
  }
  return sum / static_cast<double>(last - first + 1);
}

/// max(0, 1 - error); 0 for NaN.
inline double error_score(double error) { return std::max(0.0, 1 - error); }

/// NDS = (w mAP + sum of the five max(0, 1 - mTP)) / (w + 5), w = 5 in nuScenes.
inline double nd_score(double mean_ap, const PerError<double>& errors, double mean_ap_weight = 5) {
  double sum = mean_ap_weight * mean_ap;
  for (const double error : errors) {
    sum += error_score(error);
  }
  return sum / (mean_ap_weight + static_cast<double>(box_error_count));
}

namespace detail {

/// Mean of an error over the classes that have it; NaN if none does.
inline double mean_over_classes(const PerClass<PerError<double>>& label_errors, std::size_t error) {
  double sum = 0;
  double count = 0;
  for (const PerError<double>& errors : label_errors) {
    if (!std::isnan(errors[error])) {
      sum += errors[error];
      count += 1;
    }
  }
  return count > 0 ? sum / count : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace detail

/// The figures that follow from the curves, given per class and matching distance (in the order of `config`).
inline DetectionSummary summarise(const PerClass<std::vector<DetectionCurves>>& curves, const DetectionConfig& config) {
  DetectionSummary out;
  out.config = config;
  const std::size_t classes = config.classes.size();
  out.label_aps.resize(classes);
  out.mean_distance_aps.resize(classes);
  out.label_errors.resize(classes);
  out.truth_counts.resize(classes);
  for (std::size_t c = 0; c < classes; ++c) {
    double sum = 0;
    for (const DetectionCurves& at_distance : curves[c]) {
      out.label_aps[c].push_back(average_precision(at_distance, config.min_recall, config.min_precision));
      sum += out.label_aps[c].back();
    }
    out.mean_distance_aps[c] = sum / static_cast<double>(curves[c].size());
    out.mean_ap += out.mean_distance_aps[c] / static_cast<double>(classes);
    const DetectionCurves& of_errors = curves[c][config.error_threshold_index()];
    for (std::size_t k = 0; k < box_error_count; ++k) {
      const auto error = static_cast<BoxError>(k);
      out.label_errors[c][k] = has_error(config.classes[c], error) ? mean_error(of_errors, error, config.min_recall)
                                                                   : std::numeric_limits<double>::quiet_NaN();
    }
  }
  for (std::size_t k = 0; k < box_error_count; ++k) {
    out.errors[k] = detail::mean_over_classes(out.label_errors, k);
    out.error_scores[k] = error_score(out.errors[k]);
  }
  out.nd_score = nd_score(out.mean_ap, out.errors, config.mean_ap_weight);
  return out;
}

}  // namespace bevfusion
