// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <stdexcept>
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
  /// What was added so far, as take() of another object of the same task and config adds it. Ranks that divide an evaluation send
  /// it to the first of them; where a task says nothing here, each of them goes through all samples instead.
  virtual std::optional<std::string> given() const { return std::nullopt; }
  /// Adds what given() of another one said, which is as if its samples were added here.
  /// @throws std::invalid_argument for bytes that are none of this task's
  virtual void take(const std::string&) { throw std::invalid_argument("these figures cannot be put together from parts"); }
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
