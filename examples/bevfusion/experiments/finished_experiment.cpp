// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/experiments/finished_experiment.hpp"

#include <algorithm>
#include <fstream>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "bevfusion/experiments/run_file.hpp"

namespace bevfusion {
namespace {

using Json = nlohmann::json;

double number_in(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number() ? found->get<double>() : std::numeric_limits<double>::quiet_NaN();
}

/// Whether its evaluation has what it is to have: also single cameras and fewer beams, where they are asked for.
bool is_evaluated(const ExperimentRun& run) {
  std::ifstream in(run.folder / "evaluation.json");
  if (!in) {
    return false;
  }
  if (std::find(run.eval_command.begin(), run.eval_command.end(), single_sensors_missing) == run.eval_command.end()) {
    return true;
  }
  const Json json = Json::parse(in, nullptr, /*allow_exceptions=*/false);
  constexpr std::size_t whole_sensors = 2;
  return json.is_object() && json.contains("missing") && json["missing"].size() > whole_sensors;
}

RunState state_of(const ExperimentRun& run, const std::optional<RunFile>& file) {
  if (!file) {
    return std::filesystem::exists(run.folder / "log.jsonl") ? RunState::interrupted : RunState::not_started;
  }
  if (file->stage == RunFile::Stage::failed) {
    return RunState::failed;
  }
  const bool whole =
      file->stage == RunFile::Stage::evaluated && is_evaluated(run) && std::filesystem::exists(run.folder / "log.jsonl");
  return whole ? RunState::done : RunState::interrupted;
}

ExperimentRun run_in(const Json& json, const std::filesystem::path& experiment) {
  ExperimentRun run;
  run.row = json.at("row").get<std::string>();
  run.seed = json.at("seed").get<std::uint64_t>();
  run.folder = (experiment / json.at("folder").get<std::string>()).lexically_normal();
  run.train_command = json.at("train_command").get<std::vector<std::string>>();
  run.eval_command = json.at("eval_command").get<std::vector<std::string>>();
  run.predict_command = json.value("predict_command", std::vector<std::string>());
  add_state(run);
  return run;
}

}  // namespace

const char* text_of(RunState state) {
  switch (state) {
    case RunState::not_started:
      return "not started";
    case RunState::interrupted:
      return "interrupted";
    case RunState::failed:
      return "failed";
    default:
      return "done";
  }
}

std::vector<const ExperimentRun*> FinishedExperiment::of_row(const std::string& key) const {
  std::vector<const ExperimentRun*> out;
  for (const ExperimentRun& run : runs) {
    if (run.row == key) {
      out.push_back(&run);
    }
  }
  return out;
}

void add_state(ExperimentRun& run) {
  if (!run.known_from.empty()) {
    return;
  }
  const std::optional<RunFile> file = read_run_file(run.folder);
  run.state = state_of(run, file);
  if (file) {
    run.message = file->message;
    run.wall_seconds = file->wall_seconds;
    run.peak_bytes = file->peak_bytes;
    run.begun = file->begun;
    run.ended = file->ended;
    run.commit = file->commit;
    run.version = file->version;
    run.libtorch = file->libtorch;
    run.machine = file->machine;
  }
}

FinishedExperiment read_experiment(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "experiment.json";
  std::ifstream in(file);
  if (!in) {
    throw std::runtime_error(file.string() + ": cannot be read; is this the folder of an experiment?");
  }
  FinishedExperiment experiment;
  experiment.folder = folder;
  try {
    const Json json = Json::parse(in);
    experiment.sheet = parse_experiment_sheet(json.at("sheet").get<std::string>(), json.at("experiment").get<std::string>());
    experiment.size = json.at("size").get<std::string>();
    experiment.device = json.at("device").get<std::string>();
    experiment.quick = json.at("quick").get<bool>();
    experiment.repeat = json.at("repeat").get<std::vector<std::string>>();
    experiment.data = json.at("data").get<std::string>();
    experiment.training_samples = number_in(json, "training_samples");
    experiment.evaluation_samples = number_in(json, "evaluation_samples");
    for (const Json& run : json.at("runs")) {
      experiment.runs.push_back(run_in(run, folder));
    }
  } catch (const Json::exception& error) {
    throw std::runtime_error(file.string() + ": " + error.what());
  } catch (const std::invalid_argument& error) {
    throw std::runtime_error(file.string() + ": sheet: " + error.what());
  }
  return experiment;
}

}  // namespace bevfusion
