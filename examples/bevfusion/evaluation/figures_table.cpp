// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/evaluation/figures_table.hpp"

#include <cmath>
#include <cstdio>

#include "bevfusion/evaluation/figures_json.hpp"
#include "support/text_table.hpp"

namespace bevfusion {
namespace {

using Rows = std::vector<std::vector<std::string>>;

std::string cell(double value, int decimals = 3) {
  if (std::isnan(value)) {
    return "-";
  }
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string detection_text(const DetectionSummary& summary) {
  Rows rows{{"class", "AP"}};
  for (const double distance : summary.config.distance_thresholds) {
    rows[0].push_back("AP@" + cell(distance, 1) + "m");
  }
  for (const std::string_view title : box_error_titles) {
    rows[0].emplace_back(title);
  }
  rows[0].emplace_back("annotated");
  std::size_t annotated = 0;
  for (std::size_t c = 0; c < summary.config.classes.size(); ++c) {
    std::vector<std::string> row = {summary.config.classes[c].name, cell(summary.mean_distance_aps[c])};
    for (const double ap : summary.label_aps[c]) {
      row.push_back(cell(ap));
    }
    for (const double error : summary.label_errors[c]) {
      row.push_back(cell(error));
    }
    row.push_back(std::to_string(summary.truth_counts[c]));
    annotated += summary.truth_counts[c];
    rows.push_back(row);
  }
  std::vector<std::string> mean = {"mean", cell(summary.mean_ap)};
  mean.resize(2 + summary.config.distance_thresholds.size());
  for (const double error : summary.errors) {
    mean.push_back(cell(error));
  }
  mean.push_back(std::to_string(annotated));
  rows.push_back(mean);
  return "mAP " + cell(summary.mean_ap, 4) + "   NDS " + cell(summary.nd_score, 4) + "   mAP of the classes that are there " +
         cell(summary.mean_ap_of_present_classes(), 4) + "\n\n" + example::text_table(rows);
}

std::string masks_text(const std::string& title, const MapIou& iou, const MapIou& below, const std::vector<std::string>& names) {
  Rows rows{{"class", "IoU", "threshold"}};
  for (const float threshold : below.thresholds()) {
    rows[0].push_back("(" + cell(static_cast<double>(threshold), 2) + ")");
  }
  for (std::size_t c = 0; c < iou.classes(); ++c) {
    const ClassIou of_class = iou.class_iou(c);
    std::vector<std::string> row = {names[c], cell(of_class.best),
                                    of_class.labelled ? cell(static_cast<double>(of_class.best_threshold), 2) : "not labelled"};
    for (std::size_t t = 0; t < below.thresholds().size(); ++t) {
      row.push_back(of_class.labelled ? cell(below.counts(c, t).iou()) : "-");
    }
    rows.push_back(row);
  }
  rows.push_back({"mean", cell(iou.mean_iou())});
  return title + " " + cell(iou.mean_iou(), 4) + "\n\n" + example::text_table(rows);
}

}  // namespace

std::string figures_text(const EvaluationFigures& figures) {
  std::string text = std::to_string(figures.samples) + " samples\n";
  if (figures.not_finite > 0) {
    text += "In " + std::to_string(figures.not_finite) + " of them an output was no number, and counts as nothing found.\n";
  }
  if (figures.detection) {
    text += "\n" + detection_text(*figures.detection);
  }
  if (figures.segmentation) {
    text += "\n" + masks_text("mIoU", *figures.segmentation, *figures.segmentation_below, figures.map_names);
  }
  if (figures.foreground) {
    text += "\n" + masks_text("foreground mIoU", *figures.foreground, *figures.foreground_below, figures.foreground_names);
  }
  return text;
}

std::string headline_table(const std::vector<std::pair<std::string, EvaluationFigures>>& named) {
  Rows rows{{"sensors", "mAP", "NDS", "mIoU", "foreground mIoU"}};
  for (const auto& [name, figures] : named) {
    rows.push_back({name, figures.detection ? cell(figures.detection->mean_ap, 4) : "-",
                    figures.detection ? cell(figures.detection->nd_score, 4) : "-",
                    figures.segmentation ? cell(figures.segmentation->mean_iou(), 4) : "-",
                    figures.foreground ? cell(figures.foreground->mean_iou(), 4) : "-"});
  }
  return example::text_table(rows);
}

}  // namespace bevfusion
