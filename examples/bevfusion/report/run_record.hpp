// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "bevfusion/metrics/epoch_series.hpp"
#include "bevfusion/report/run_details.hpp"

namespace bevfusion {

/// Figures of an evaluation by name, those of the tasks' sheets: mAP, NDS, mIoU, ...; those alone that the network has and that
/// are numbers.
using Figures = std::map<std::string, double>;

/// A quantity that was logged step by step.
struct Measured {
  EpochSeries epochs;
  std::vector<double> values;  ///< the finite ones of all steps
  std::vector<double> at;      ///< the steps that they are of
};

/// What a run says of itself on the first line of its log, and where its files lie; empty and NaN where it does not say.
struct RunFacts {
  std::string version, size, device, precision, calibrator, gate;
  std::vector<std::string> tasks;
  std::string gamma_pair;  ///< the tasks whose ratio gamma_task is, "detection/segmentation"; empty: the larger over the smaller
  std::string begun;       ///< date and time
  double steps = std::numeric_limits<double>::quiet_NaN();  ///< of the whole training
  double last_step = 0;                                     ///< the last one that the log knows of
  std::vector<std::string> files;                           ///< to link to, relative to the folder: those that are there
};

/// The task gradients of one step at the last shared layer, unfolded along its first axis: the norm of each row, by task
/// (FULLER's Figure 3).
struct GradientRows {
  std::int64_t step = 0;
  std::map<std::string, std::vector<double>> norms;
};

/// What a run's folder tells of it.
struct RunRecord {
  std::filesystem::path folder;
  std::string group;  ///< runs of one group differ in their seed alone
  double parameters = std::numeric_limits<double>::quiet_NaN();
  double twin_parameters = std::numeric_limits<double>::quiet_NaN();  ///< trained beside them, of twins; NaN without
  Figures figures;                                                    ///< of the finished network
  EvaluationDetails details;                                          ///< of its evaluation.json
  RunFacts facts;
  std::vector<std::pair<std::string, std::string>> config;  ///< config.toml: fields by their full names, as written
  std::map<std::string, Figures> missing;                   ///< the same without a sensor, by its name; where it was evaluated
  /// By name: gamma_task, gamma_task_weighted, gamma_task_spread, gamma_modal, cosine, conflict_share, loss, gradient_norm,
  /// learning_rate, seconds, waited, and losses/TASK, twins/TASK, weights/TASK, norms/TASK, gates/MODALITY,
  /// branch_norms/MODALITY; and, of runs that have both, norm_ratio (detection's over segmentation's gradient norm),
  /// branch_norm_ratio (the LiDAR's over the camera's) and gate_ratio (the camera's gate over the LiDAR's).
  std::map<std::string, Measured> steps;
  std::vector<GradientRows> gradient_rows;                            ///< in the log's order; of runs that log them
  std::map<std::string, std::map<std::int64_t, double>> evaluations;  ///< figure to epoch to value, with all sensors

  /// Mean and median over all steps; NaN where nothing was measured.
  double mean_of(const std::string& quantity) const;
  double median_of(const std::string& quantity) const;
  /// A field of the config as written; empty where it has none.
  std::string config_of(const std::string& field) const;
  /// Seconds that training took: those of a step times the steps. NaN where they were not logged.
  double training_seconds() const;
};

/// The name that a folder of a run gives its group: its own without a trailing number, as in fuller-0, fuller_seed1, fuller.s2.
std::string group_of_folder(const std::filesystem::path& folder);

/// Reads log.jsonl, evaluation.json and config.toml of a run. Without evaluation.json, its last logged evaluation counts; older
/// logs lack some quantities.
/// @param choice  the folder, or NAME=FOLDER to name the group
/// @throws std::runtime_error naming file and line for a log that is missing or malformed; an unfinished last line is left out
RunRecord read_run(const std::string& choice);

}  // namespace bevfusion
