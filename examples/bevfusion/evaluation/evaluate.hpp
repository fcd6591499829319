// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/evaluation/sensor_failure.hpp"
#include "bevfusion/model/network.hpp"
#include "bevfusion/nuscenes/tables.hpp"
#include "bevfusion/tasks/task_figures.hpp"

namespace bevfusion {

/// Processes that divide the samples of an evaluation.
struct DividedEvaluation {
  int part = 0;  ///< this one
  int of = 1;
  /// Brings what all say to the first, in their order, and nothing to the others.
  std::function<std::vector<std::string>(const std::string& said)> gather = {};
};

/// How a set of samples is evaluated.
struct EvaluationOptions {
  SensorFailure failure;                              ///< what is missing: the missing-modality tables
  std::function<void(std::size_t samples)> progress;  ///< called with the samples done since the last call; may be empty
  /// The first part gets the figures of all samples, the others those of none. Where a task of the network cannot put its figures
  /// together from parts (TaskFigures::given()), each goes through all samples instead.
  DividedEvaluation divided = {};
};

/// What an evaluation yields.
struct EvaluationFigures {
  std::size_t samples = 0;
  std::size_t not_finite = 0;  ///< samples of which the network said something that is no number; there it found nothing
  std::vector<std::pair<std::string, std::shared_ptr<const TaskFigures>>> tasks;  ///< of those that the network has, by name

  /// The figures of a task as its own kind; nullptr for a task that the network has not.
  template <class Figures>
  const Figures* of(const std::string& task) const {
    for (const auto& [name, figures] : tasks) {
      if (name == task) {
        return dynamic_cast<const Figures*>(figures.get());
      }
    }
    return nullptr;
  }
};

/// Runs the network over the samples in evaluation mode, without augmentation and gradients, and evaluates every task it has.
/// The network is left in the mode it was in.
/// @param samples  rows of tables.samples
/// @param tables, config  must outlive the figures
/// @throws DataError for files that cannot be read; std::invalid_argument for a modality that the network has not
EvaluationFigures evaluate(Network& network, const Tables& tables, const std::vector<RowIndex>& samples, const RunConfig& config,
                           const EvaluationOptions& options = {});

}  // namespace bevfusion
