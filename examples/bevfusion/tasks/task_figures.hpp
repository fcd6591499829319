// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "bevfusion/tasks/sample_prediction.hpp"

namespace bevfusion {

/// What an evaluation finds of one task, sample by sample.
class TaskFigures {
 public:
  virtual ~TaskFigures() = default;

  virtual void add(const SamplePrediction& prediction) = 0;
  /// Called after the last sample, before the figures are asked for.
  virtual void finish() {}

  /// The figures that the task's sheet names, in its order; NaN where nothing was labelled.
  virtual std::vector<std::pair<std::string, double>> headline() const = 0;
  /// Adds to evaluation.json what the headline is made of.
  virtual void add_details(nlohmann::ordered_json& out) const = 0;
  /// The same for a terminal.
  virtual std::string text() const = 0;
  /// What has to be said beside the headline in a line of progress; mostly nothing.
  virtual std::string remark() const { return ""; }
};

}  // namespace bevfusion
