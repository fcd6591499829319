// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/experiments/known_runs.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>

#include <nlohmann/json.hpp>

#include "bevfusion/tasks/task_sheet.hpp"

namespace bevfusion {
namespace {

using Json = nlohmann::json;

/// The name of the folder that a run was trained into. Files of 0.1 have it in the command alone.
std::string name_of(const Json& run) {
  if (run.contains("name")) {
    return run.at("name").get<std::string>();
  }
  std::istringstream words(run.at("train").get<std::string>());
  std::string word;
  while (words >> word) {
    if (word == "--out" && words >> word) {
      return std::filesystem::path(word).filename().string();
    }
  }
  return "";
}

double number_in(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number() ? found->get<double>() : std::numeric_limits<double>::quiet_NaN();
}

/// The tasks that have a figure, for files of 0.1, which do not name them.
std::vector<std::string> measured_tasks(const std::map<std::string, double>& figures) {
  std::vector<std::string> tasks;
  for (const TaskSheet& task : head_sheets()) {
    const bool measured = std::any_of(task.figures.begin(), task.figures.end(),
                                      [&](const FigureSheet& figure) { return figures.count(figure.name) > 0; });
    const std::vector<std::string> names = measured ? task.loss_names() : std::vector<std::string>();
    tasks.insert(tasks.end(), names.begin(), names.end());
  }
  return tasks;
}

ExperimentRun run_of(const Json& row, const Json& json, const std::filesystem::path& file) {
  ExperimentRun run;
  run.row = row.at("key").get<std::string>();
  run.seed = json.at("seed").get<std::uint64_t>();
  run.state = RunState::done;
  run.known_from = file.string();
  for (const auto& [name, value] : json.at("figures").items()) {
    run.figures[name] = value.get<double>();
  }
  run.tasks = json.value("tasks", measured_tasks(run.figures));
  run.wall_seconds = number_in(json, "wall_seconds");
  run.peak_bytes = number_in(json.at("figures"), "peak_bytes");
  run.begun = json.value("begun", "");
  run.commit = json.value("commit", "");
  run.version = json.value("version", "");
  run.libtorch = json.value("libtorch", "");
  run.machine = json.value("machine", "");
  return run;
}

}  // namespace

KnownRuns::KnownRuns(const std::vector<std::filesystem::path>& files) {
  for (const std::filesystem::path& file : files) {
    std::ifstream in(file);
    if (!in) {
      throw std::runtime_error(file.string() + ": cannot be read; --known takes an experiment's results.json");
    }
    try {
      const Json json = Json::parse(in);
      for (const Json& row : json.at("rows")) {
        for (const Json& one : row.at("runs")) {
          const std::string name = name_of(one);
          if (one.at("state") == text_of(RunState::done) && !name.empty()) {
            runs_.emplace(name, run_of(row, one, file));
          }
        }
      }
    } catch (const Json::exception& error) {
      throw std::runtime_error(file.string() + " holds no results of an experiment: " + error.what());
    }
  }
}

void KnownRuns::complete(ExperimentRun& run) const {
  const auto found = runs_.find(run.folder.filename().string());
  if (run.state == RunState::done || found == runs_.end()) {
    return;
  }
  ExperimentRun known = found->second;
  known.row = run.row;
  known.folder = std::move(run.folder);
  known.train_command = std::move(run.train_command);
  known.eval_command = std::move(run.eval_command);
  run = std::move(known);
}

void KnownRuns::complete(FinishedExperiment& experiment) const {
  for (ExperimentRun& run : experiment.runs) {
    complete(run);
  }
}

}  // namespace bevfusion
