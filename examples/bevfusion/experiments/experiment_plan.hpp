// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "bevfusion/experiments/experiment_sheet.hpp"
#include "bevfusion/experiments/finished_experiment.hpp"

namespace bevfusion {

/// Fields of a config by their full names, as they are written.
using ConfigFields = std::vector<std::pair<std::string, std::string>>;

/// What is asked of `bevfusion experiment`.
struct ExperimentOptions {
  std::vector<std::string> names;
  std::filesystem::path configs;
  std::filesystem::path out = "experiments";
  std::string size = "tiny";
  std::string device = "cpu";
  int seeds = 0;                  ///< of each row, from 0; 0: what the sheet says for the size
  std::vector<std::string> rows;  ///< keys of rows; all where empty
  int epochs = 0;                 ///< 0: what the row's config says
  int jobs = 0;                   ///< runs at once; 0: a core each, on a GPU one
  bool quick = false;
  std::vector<std::filesystem::path> known;  ///< files of results whose runs need not be done again
  std::string data, version;                 ///< a data set; where empty, synthetic scenes are written
  std::vector<std::string> repeat;           ///< words that the user typed
  std::string program;                       ///< the file to start for train, eval and synth
  std::string called = "bevfusion";          ///< as commands to repeat name it
  std::string libtorch;                      ///< version
  std::function<std::string(const std::vector<std::string>&)> print_config;  ///< of words of `train`: what --print-config prints
  /// Samples of a split of a data set; only asked for one that no finished run tells of.
  std::function<double(const std::string& root, const std::string& version, const std::string& split)> count_samples;
};

/// The data set that all runs of a plan learn from.
struct PlannedData {
  std::filesystem::path root;
  std::string version;
  std::string key;                         ///< what the runs' names know it by; says all that makes it
  std::vector<std::string> synth_command;  ///< writes it; empty for one that was given
  bool there = false;
  std::string evaluation_split;  ///< that figures are of; the runs' validation split where empty
  double training_samples = std::numeric_limits<double>::quiet_NaN();
  double evaluation_samples = std::numeric_limits<double>::quiet_NaN();
  double seconds = 0;  ///< that writing it takes, about
};

/// A row of an experiment that asks for a run.
struct AskedBy {
  std::size_t sheet = 0;
  std::string row;
};

/// A network to be trained with a seed, for all rows that ask for it.
struct PlannedRun {
  ExperimentRun run;       ///< how it stands; row: the first that asks for it
  ConfigFields config;     ///< as it will be
  std::string short_name;  ///< "both_1, seed 0"
  std::vector<AskedBy> asked_by;
  std::vector<std::filesystem::path> teachers;  ///< folders of runs of this plan that have to be done first
  double steps = 0;
  double done_steps = 0;  ///< by its log
  double seconds = 0;     ///< that are left, about
};

/// What would run, what is there, and what it costs.
struct ExperimentPlan {
  ExperimentOptions options;
  PlannedData data;
  std::vector<ExperimentSheet> sheets;
  std::vector<std::string> sheet_texts;  ///< as the files have them
  std::vector<PlannedRun> runs;          ///< in the order in which they run: seed by seed
  int jobs = 1;
  double seconds_per_step = 0;
  double seconds_per_run = 0;  ///< beside the steps: start and evaluations
  std::string cost_from;       ///< where that is from, in words

  double seconds_left() const;
  /// The run of a row with a seed; null where it was not asked for.
  const PlannedRun* run_of(std::size_t sheet, const std::string& row, std::uint64_t seed) const;
};

/// @throws std::invalid_argument for names, rows or sizes that are not there (with the near ones), for experiments of which
/// nothing
///         can be run (with the reason), and for folders that hold runs of other settings
ExperimentPlan plan_experiments(const ExperimentOptions& options);

/// The plan for a reader.
std::string text_of(const ExperimentPlan& plan);
/// All experiments, a line or two each.
std::string experiment_list(const std::filesystem::path& configs);

/// Words as a shell takes them.
std::string shell_text(const std::vector<std::string>& words);

}  // namespace bevfusion
