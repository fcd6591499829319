// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/mask_figures.hpp"

#include <cmath>
#include <cstdint>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/tasks/figure_text.hpp"
#include "bevfusion/tasks/packed.hpp"
#include "support/text_table.hpp"

namespace bevfusion {
namespace {

using Json = nlohmann::ordered_json;

const std::vector<float> below_the_protocol = {0.20F, 0.25F, 0.30F};

/// A threshold as it is written, 0.35 and not the 0.3499999940395355 that its single precision is.
double written(float threshold) { return std::round(static_cast<double>(threshold) * 1e6) / 1e6; }

}  // namespace

MaskFigures::MaskFigures(TaskSheet sheet, std::vector<std::string> names)
    : sheet_(std::move(sheet)), names_(std::move(names)), protocol_(names_.size()), below_(names_.size(), below_the_protocol) {}

void MaskFigures::add(const SamplePrediction& prediction) {
  const auto* said = prediction.of<MaskPrediction>(sheet_.name);
  if (said == nullptr) {
    return;
  }
  const torch::Tensor truth = said->truth.to(torch::kByte);
  for (std::int64_t m = 0; m < truth.size(0); ++m) {
    if (said->labelled.defined() && !said->labelled[m].item<bool>()) {
      continue;
    }
    const torch::Tensor p = said->probability[m].contiguous();
    const torch::Tensor t = truth[m].contiguous();
    const auto cells = static_cast<std::size_t>(p.numel());
    const auto mask = static_cast<std::size_t>(m);
    protocol_.add(mask, cells, p.data_ptr<float>(), t.data_ptr<std::uint8_t>());
    below_.add(mask, cells, p.data_ptr<float>(), t.data_ptr<std::uint8_t>());
  }
}

std::optional<std::string> MaskFigures::given() const {
  std::string bytes;
  add_list(bytes, protocol_.all_counts());
  add_list(bytes, below_.all_counts());
  return bytes;
}

void MaskFigures::take(const std::string& bytes) {
  PackedReader reader(bytes);
  protocol_.add_counts(reader.list<std::uint64_t>());
  below_.add_counts(reader.list<std::uint64_t>());
  reader.expect_end();
}

std::vector<std::pair<std::string, double>> MaskFigures::headline() const {
  return {{sheet_.figures.at(0).name, protocol_.mean_iou()}};
}

void MaskFigures::add_details(Json& out) const {
  Json classes = Json::object();
  for (std::size_t c = 0; c < protocol_.classes(); ++c) {
    const ClassIou of_class = protocol_.class_iou(c);
    Json at = Json::array();
    for (const MapIou* from : {&below_, &protocol_}) {
      for (std::size_t t = 0; t < from->thresholds().size(); ++t) {
        at.push_back({{"threshold", written(from->thresholds()[t])}, {"IoU", from->counts(c, t).iou()}});
      }
    }
    classes[names_[c]] = {{"labelled", of_class.labelled}, {"IoU", of_class.best}, {"threshold", nullptr}, {"at", at}};
    if (of_class.labelled) {
      classes[names_[c]]["threshold"] = written(of_class.best_threshold);
    }
  }
  out[sheet_.name] = classes;
}

std::string MaskFigures::text() const {
  std::vector<std::vector<std::string>> rows{{"class", "IoU", "threshold"}};
  for (const float threshold : below_.thresholds()) {
    rows[0].push_back("(" + figure_text(static_cast<double>(threshold), 2) + ")");
  }
  for (std::size_t c = 0; c < protocol_.classes(); ++c) {
    const ClassIou of_class = protocol_.class_iou(c);
    std::vector<std::string> row = {
        names_[c], figure_text(of_class.best),
        of_class.labelled ? figure_text(static_cast<double>(of_class.best_threshold), 2) : "not labelled"};
    for (std::size_t t = 0; t < below_.thresholds().size(); ++t) {
      row.push_back(of_class.labelled ? figure_text(below_.counts(c, t).iou()) : "-");
    }
    rows.push_back(row);
  }
  rows.push_back({"mean", figure_text(protocol_.mean_iou())});
  return sheet_.figures.at(0).title + " " + figure_text(protocol_.mean_iou(), 4) + "\n\n" + example::text_table(rows);
}

std::string MaskFigures::remark() const {
  std::size_t labelled = 0;
  for (std::size_t c = 0; c < protocol_.classes(); ++c) {
    labelled += protocol_.class_iou(c).labelled ? 1 : 0;
  }
  return labelled == protocol_.classes()
             ? ""
             : " (of " + std::to_string(labelled) + " labelled classes of " + std::to_string(protocol_.classes()) + ")";
}

}  // namespace bevfusion
