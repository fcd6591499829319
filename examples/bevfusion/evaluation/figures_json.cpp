// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/evaluation/figures_json.hpp"

#include <cmath>

#include "bevfusion/metrics/detection_json.hpp"

namespace bevfusion {
namespace {

using Json = nlohmann::ordered_json;

/// A threshold as it is written, 0.35 and not the 0.3499999940395355 that its single precision is.
double written(float threshold) { return std::round(static_cast<double>(threshold) * 1e6) / 1e6; }

Json masks_json(const MapIou& iou, const std::optional<MapIou>& below, const std::vector<std::string>& names) {
  Json classes = Json::object();
  for (std::size_t c = 0; c < iou.classes(); ++c) {
    const ClassIou of_class = iou.class_iou(c);
    Json at = Json::array();
    const auto add = [&](const MapIou& from) {
      for (std::size_t t = 0; t < from.thresholds().size(); ++t) {
        at.push_back({{"threshold", written(from.thresholds()[t])}, {"IoU", from.counts(c, t).iou()}});
      }
    };
    if (below) {
      add(*below);
    }
    add(iou);
    classes[names[c]] = {{"labelled", of_class.labelled}, {"IoU", of_class.best}, {"threshold", nullptr}, {"at", at}};
    if (of_class.labelled) {
      classes[names[c]]["threshold"] = written(of_class.best_threshold);
    }
  }
  return classes;
}

}  // namespace

std::vector<std::string> foreground_names(std::size_t masks, const DetectionLabels& labels) {
  if (masks == 1) {
    return {"objects"};
  }
  std::vector<std::string> names;
  if (masks == labels.size()) {
    for (const DetectionLabel& label : labels) {
      names.push_back(label.name);
    }
    return names;
  }
  return groups_of(labels);
}

Json headline_json(const EvaluationFigures& figures) {
  Json out = Json::object();
  if (figures.detection) {
    out["mAP"] = figures.detection->mean_ap;
    out["NDS"] = figures.detection->nd_score;
  }
  if (figures.segmentation) {
    out["mIoU"] = figures.segmentation->mean_iou();
  }
  if (figures.foreground) {
    out["foreground_mIoU"] = figures.foreground->mean_iou();
  }
  return out;
}

Json figures_json(const EvaluationFigures& figures, const std::vector<std::string>& without) {
  Json out = {{"without", without}, {"samples", figures.samples}, {"not_finite", figures.not_finite}};
  out.update(headline_json(figures));
  if (figures.detection) {
    out["mAP_of_present_classes"] = figures.detection->mean_ap_of_present_classes();
    out["detection"] = metrics_summary(*figures.detection);
  }
  if (figures.segmentation) {
    out["segmentation"] = masks_json(*figures.segmentation, figures.segmentation_below, figures.map_names);
  }
  if (figures.foreground) {
    out["foreground"] = masks_json(*figures.foreground, figures.foreground_below, figures.foreground_names);
  }
  return out;
}

}  // namespace bevfusion
