// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <fuller/fuller.hpp>

namespace bevfusion {

/// Values by name, in order.
using NamedValues = std::vector<std::pair<std::string, double>>;

/// What is told of one step of the optimiser. NaN and empty lists: not measured.
struct StepRecord {
  static constexpr double none = std::numeric_limits<double>::quiet_NaN();

  std::int64_t epoch = 0;
  std::int64_t step = 0;  ///< 1 for the first
  double loss = none;     ///< sum of the present tasks' losses, statically weighted; the mean over the step's batches
  NamedValues losses;     ///< by task, unweighted, the mean over the batches that have it; absent tasks are left out
  double learning_rate = none;
  double gradient_norm = none;
  NamedValues weights;  ///< what follows is the calibration's view of the step's last batch
  NamedValues norms;
  double cosine = none;  ///< mean over the pairs of tasks
  double conflict_share = none;
  double gamma_task = none;
  double gamma_task_weighted = none;
  double gamma_modal = none;
  NamedValues gates;
  double loss_scale = none;  ///< where it adapts
  bool skipped = false;      ///< nothing was learnt: the gradient was not finite, or no task had a label
  double seconds = none;
  double waited = none;  ///< of them, for data

  /// Takes over what a calibration showed.
  /// @param tasks  whether it weighs tasks
  void add(const fuller::Diagnostics& seen, bool tasks);

  /// One line of log.jsonl, without its end.
  std::string json() const;

  /// Every value under its tag for TensorBoard.
  NamedValues scalars() const;
};

}  // namespace bevfusion
