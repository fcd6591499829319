// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <string>

#include <nlohmann/json.hpp>

#include "bevfusion/metrics/detection_evaluation.hpp"

namespace bevfusion {

namespace detail {

using OrderedJson = nlohmann::ordered_json;

template <class Values>
OrderedJson named_errors(const Values& values) {
  OrderedJson out = OrderedJson::object();
  for (std::size_t k = 0; k < box_error_count; ++k) {
    out[std::string(box_error_names[k])] = values[k];
  }
  return out;
}

/// A matching distance as Python prints it, "0.5" or "1.0".
inline std::string distance_key(double distance) { return OrderedJson(distance).dump(); }

inline OrderedJson to_json(const DetectionConfig& config) {
  OrderedJson ranges = OrderedJson::object();
  for (const EvaluatedClass& of : config.classes) {
    ranges[of.name] = of.range;
  }
  return {{"class_range", ranges},
          {"dist_fcn", "center_distance"},
          {"dist_ths", config.distance_thresholds},
          {"dist_th_tp", config.error_threshold},
          {"min_recall", config.min_recall},
          {"min_precision", config.min_precision},
          {"max_boxes_per_sample", config.max_boxes_per_sample},
          {"mean_ap_weight", config.mean_ap_weight}};
}

}  // namespace detail

/// The figures under the keys of nuScenes' `metrics_summary.json`, with `meta` as the submission had it. Errors that a class does
/// not have are null, where the devkit writes the NaN that JSON does not know.
inline nlohmann::ordered_json metrics_summary(const DetectionSummary& summary,
                                              const nlohmann::ordered_json& meta = nlohmann::ordered_json::object()) {
  nlohmann::ordered_json aps = nlohmann::ordered_json::object();
  nlohmann::ordered_json mean_aps = nlohmann::ordered_json::object();
  nlohmann::ordered_json errors = nlohmann::ordered_json::object();
  for (std::size_t c = 0; c < summary.config.classes.size(); ++c) {
    const std::string& key = summary.config.classes[c].name;
    for (std::size_t d = 0; d < summary.label_aps[c].size(); ++d) {
      aps[key][detail::distance_key(summary.config.distance_thresholds[d])] = summary.label_aps[c][d];
    }
    mean_aps[key] = summary.mean_distance_aps[c];
    errors[key] = detail::named_errors(summary.label_errors[c]);
  }
  return {{"label_aps", aps},
          {"mean_dist_aps", mean_aps},
          {"mean_ap", summary.mean_ap},
          {"label_tp_errors", errors},
          {"tp_errors", detail::named_errors(summary.errors)},
          {"tp_scores", detail::named_errors(summary.error_scores)},
          {"nd_score", summary.nd_score},
          {"eval_time", summary.seconds},
          {"cfg", detail::to_json(summary.config)},
          {"meta", meta}};
}

/// The curves under the keys of nuScenes' `metrics_details.json`, such as "car:0.5".
inline nlohmann::ordered_json metrics_details(const DetectionEvaluation& evaluation) {
  DetectionCurves::Curve recall{};
  for (std::size_t bin = 0; bin < DetectionCurves::bins; ++bin) {
    recall[bin] = DetectionCurves::recall(bin);
  }
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (std::size_t c = 0; c < evaluation.curves.size(); ++c) {
    const auto& of_class = evaluation.curves[c];
    for (std::size_t d = 0; d < of_class.size(); ++d) {
      nlohmann::ordered_json entry = {
          {"recall", recall}, {"precision", of_class[d].precision}, {"confidence", of_class[d].confidence}};
      entry.update(detail::named_errors(of_class[d].errors));
      const double distance = evaluation.summary.config.distance_thresholds[d];
      out[evaluation.summary.config.classes[c].name + ":" + detail::distance_key(distance)] = std::move(entry);
    }
  }
  return out;
}

}  // namespace bevfusion
