// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/metrics/detection_evaluation.hpp"
#include "bevfusion/tasks/task_figures.hpp"

namespace bevfusion {

/// nuScenes' figures of boxes.
class DetectionFigures : public TaskFigures {
 public:
  DetectionFigures(const Tables& tables, const RunConfig& config) : tables_(tables), config_(config) {}

  void add(const SamplePrediction& prediction) override;
  std::optional<std::string> given() const override;
  void take(const std::string& bytes) override;
  void finish() override;
  std::vector<std::pair<std::string, double>> headline() const override;
  void add_details(nlohmann::ordered_json& out) const override;
  std::string text() const override;

  const DetectionSummary& summary() const { return summary_; }

 private:
  const Tables& tables_;
  const RunConfig& config_;
  std::vector<RowIndex> rows_;
  std::vector<EvaluationSample> samples_;  ///< of those rows
  DetectionSummary summary_;
};

}  // namespace bevfusion
