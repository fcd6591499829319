// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "bevfusion/experiments/experiment_sheet.hpp"

namespace bevfusion {

enum class RunState { not_started, interrupted, failed, done };
/// "not started", "interrupted", "failed", "done"
const char* text_of(RunState state);

/// The word of an eval command that also takes single cameras and beams away.
inline constexpr const char* single_sensors_missing = "--missing=table";

/// One network that an experiment asks for: a row's with a seed. Several experiments may share it.
struct ExperimentRun {
  std::string row;  ///< the row's key
  std::uint64_t seed = 0;
  std::filesystem::path folder;  ///< as read_run takes it; log.jsonl may be missing unless it is done
  RunState state = RunState::not_started;
  std::string message;                                             ///< of one that failed: the last lines of its log
  double wall_seconds = std::numeric_limits<double>::quiet_NaN();  ///< of training and evaluation, all sittings together
  double peak_bytes = std::numeric_limits<double>::quiet_NaN();    ///< of the process that trained; on a GPU the host's
  std::string begun, ended;                                        ///< "2026-01-31 12:00 UTC"; empty where not known
  std::string commit;    ///< of the program that trained it, with "+" where it had changes; "unknown" without git
  std::string version;   ///< fuller's
  std::string libtorch;  ///< version; empty where the program has none
  std::string machine;   ///< processor and number of cores, and the GPU
  std::vector<std::string> train_command, eval_command;  ///< to repeat it, words
  /// Of one whose folder is not here: the file of results that knows it, and what it says. Empty of all others.
  std::string known_from;
  std::vector<std::string> tasks;
  std::map<std::string, double> figures;     ///< in evaluation's own units
  std::vector<std::string> predict_command;  ///< that draws what it finds; empty unless it is the run of its row that is shown
};

/// What the folder of an experiment tells: the sheet as it was when it was last run, and how each of its runs stands.
struct FinishedExperiment {
  ExperimentSheet sheet;
  std::filesystem::path folder;
  std::string size, device;
  bool quick = false;               ///< the quick plan: fewer seeds, rows and evaluation samples
  std::vector<std::string> repeat;  ///< words of the command that runs all of it
  std::string data;                 ///< how its data set came about: the words of `bevfusion synth`, or the folder
  double training_samples = std::numeric_limits<double>::quiet_NaN();
  double evaluation_samples = std::numeric_limits<double>::quiet_NaN();
  std::vector<ExperimentRun> runs;  ///< by row, then by seed; of rows that were asked for and can be run

  std::vector<const ExperimentRun*> of_row(const std::string& key) const;
};

/// Takes from the run's folder how it stands; row, seed, folder and commands stay. One that is known from elsewhere stays as it
/// is.
/// @throws std::runtime_error for a run.json that is malformed
void add_state(ExperimentRun& run);

/// Reads FOLDER/experiment.json, and how its runs stand from their own folders.
/// @throws std::runtime_error naming the file where it is missing or malformed
FinishedExperiment read_experiment(const std::filesystem::path& folder);

}  // namespace bevfusion
