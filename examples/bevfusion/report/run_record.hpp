// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "bevfusion/metrics/epoch_series.hpp"

namespace bevfusion {

/// Figures of an evaluation by name: mAP, NDS, mIoU, foreground_mIoU; those alone that the network has and that are numbers.
using Figures = std::map<std::string, double>;

/// A quantity that was logged step by step.
struct Measured {
  EpochSeries epochs;
  std::vector<double> values;  ///< the finite ones of all steps
};

/// What a run's folder tells of it.
struct RunRecord {
  std::filesystem::path folder;
  std::string group;  ///< runs of one group differ in their seed alone
  double parameters = std::numeric_limits<double>::quiet_NaN();
  Figures figures;                         ///< of the finished network
  std::map<std::string, Figures> missing;  ///< the same without a sensor, by its name; where it was evaluated
  /// By name: gamma_task, gamma_task_weighted, gamma_modal, cosine, conflict_share, loss, gradient_norm, learning_rate, seconds,
  /// waited, and losses/TASK, weights/TASK, norms/TASK, gates/MODALITY.
  std::map<std::string, Measured> steps;
  std::map<std::string, std::map<std::int64_t, double>> evaluations;  ///< figure to epoch to value, with all sensors

  /// Mean and median over all steps; NaN where nothing was measured.
  double mean_of(const std::string& quantity) const;
  double median_of(const std::string& quantity) const;
};

/// The name that a folder of a run gives its group: its own without a trailing number, as in fuller-0, fuller_seed1, fuller.s2.
std::string group_of_folder(const std::filesystem::path& folder);

/// Reads log.jsonl and evaluation.json of a run; without the latter, its last logged evaluation counts.
/// @param choice  the folder, or NAME=FOLDER to name the group
/// @throws std::runtime_error naming file and line for a log that is missing or malformed; an unfinished last line is left out
RunRecord read_run(const std::string& choice);

}  // namespace bevfusion
