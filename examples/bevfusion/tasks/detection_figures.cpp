// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/detection_figures.hpp"

#include "bevfusion/evaluation/decode.hpp"
#include "bevfusion/metrics/detection_json.hpp"
#include "bevfusion/metrics/evaluation_sample.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/tasks/figure_text.hpp"
#include "bevfusion/tasks/packed.hpp"
#include "support/text_table.hpp"

namespace bevfusion {

void DetectionFigures::add(const SamplePrediction& prediction) {
  const DetectionLabels& labels = config_.loading.box_labels;
  const KeyFrame frame = key_frame_of(tables_, prediction.sample);
  EvaluationSample sample = evaluation_sample(tables_, prediction.sample, labels);
  if (const auto* boxes = prediction.of<std::vector<ScoredBox>>("detection")) {
    sample.predictions = submission_boxes(*boxes, frame.ego_from_lidar, frame.global_from_ego, labels);
  }
  rows_.push_back(prediction.sample);
  samples_.push_back(std::move(sample));
}

std::optional<std::string> DetectionFigures::given() const {
  std::string bytes;
  add_list(bytes, rows_);
  for (const EvaluationSample& sample : samples_) {
    add_list(bytes, sample.predictions);
  }
  return bytes;
}

void DetectionFigures::take(const std::string& bytes) {
  PackedReader reader(bytes);
  const std::size_t before = samples_.size();
  for (const RowIndex row : reader.list<RowIndex>()) {
    rows_.push_back(row);
    samples_.push_back(evaluation_sample(tables_, row, config_.loading.box_labels));
  }
  for (std::size_t k = before; k < samples_.size(); ++k) {
    samples_[k].predictions = reader.list<DetectionBox>();
  }
  reader.expect_end();
}

void DetectionFigures::finish() {
  DetectionConfig protocol;
  protocol.classes = evaluated_classes(config_.loading.box_labels);
  summary_ = evaluate_detection(std::move(samples_), protocol).summary;
  samples_.clear();
  rows_.clear();
}

std::vector<std::pair<std::string, double>> DetectionFigures::headline() const {
  return {{"mAP", summary_.mean_ap}, {"NDS", summary_.nd_score}};
}

void DetectionFigures::add_details(nlohmann::ordered_json& out) const {
  out["mAP_of_present_classes"] = summary_.mean_ap_of_present_classes();
  out["detection"] = metrics_summary(summary_);
}

std::string DetectionFigures::text() const {
  std::vector<std::vector<std::string>> rows{{"class", "AP"}};
  for (const double distance : summary_.config.distance_thresholds) {
    rows[0].push_back("AP@" + figure_text(distance, 1) + "m");
  }
  for (const std::string_view title : box_error_titles) {
    rows[0].emplace_back(title);
  }
  rows[0].emplace_back("annotated");
  std::size_t annotated = 0;
  for (std::size_t c = 0; c < summary_.config.classes.size(); ++c) {
    std::vector<std::string> row = {summary_.config.classes[c].name, figure_text(summary_.mean_distance_aps[c])};
    for (const double ap : summary_.label_aps[c]) {
      row.push_back(figure_text(ap));
    }
    for (const double error : summary_.label_errors[c]) {
      row.push_back(figure_text(error));
    }
    row.push_back(std::to_string(summary_.truth_counts[c]));
    annotated += summary_.truth_counts[c];
    rows.push_back(row);
  }
  std::vector<std::string> mean = {"mean", figure_text(summary_.mean_ap)};
  mean.resize(2 + summary_.config.distance_thresholds.size());
  for (const double error : summary_.errors) {
    mean.push_back(figure_text(error));
  }
  mean.push_back(std::to_string(annotated));
  rows.push_back(mean);
  return "mAP " + figure_text(summary_.mean_ap, 4) + "   NDS " + figure_text(summary_.nd_score, 4) +
         "   mAP of the classes that are there " + figure_text(summary_.mean_ap_of_present_classes(), 4) + "\n\n" +
         example::text_table(rows);
}

}  // namespace bevfusion
