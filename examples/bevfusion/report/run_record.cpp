// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/run_record.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <regex>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "bevfusion/tasks/task_sheet.hpp"

namespace bevfusion {
namespace {

using Json = nlohmann::json;

constexpr const char* step_names[] = {"loss",       "learning_rate", "gradient_norm",    "seconds",
                                      "waited",     "cosine",        "conflict_share",   "gamma_task_weighted",
                                      "gamma_task", "gamma_modal",   "gamma_task_spread"};
constexpr const char* named_step_names[] = {"losses", "twins", "weights", "norms", "gates", "branch_norms"};
constexpr const char* files_of_a_run[] = {"config.toml",         "log.jsonl",     "evaluation.json",
                                          "submission.json",     "checkpoint.pt", "predictions/index.html",
                                          "attention/index.html"};

struct RatioOfNames {
  const char *name, *list, *over, *under;
};
/// Who leads, with its direction: FULLER's Eq. 2, its Eq. 4 (Figure 4), and the gates' w_img / w_lid (Figure 6 b).
constexpr RatioOfNames ratios[] = {{"norm_ratio", "norms", "detection", "segmentation"},
                                   {"branch_norm_ratio", "branch_norms", "lidar", "camera"},
                                   {"gate_ratio", "gates", "camera", "lidar"}};

Figures figures_in(const Json& json) {
  Figures figures;
  for (const FigureSheet& figure : figure_sheets()) {
    if (json.contains(figure.name) && json[figure.name].is_number()) {
      figures[figure.name] = json[figure.name].get<double>();
    }
  }
  return figures;
}

/// What is no number, as null for NaN, is counted as skipped.
void add(Measured& measured, std::int64_t epoch, double step, double number) {
  measured.epochs.add(epoch, number);
  if (std::isfinite(number)) {
    measured.values.push_back(number);
    measured.at.push_back(step);
  }
}

double number_in(const Json& value) { return value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN(); }

/// The ratio of two of a list's values, where both are there.
void add_ratio(RunRecord& run, const Json& line, double step, const RatioOfNames& of) {
  const Json list = line.value(of.list, Json::object());
  const double ratio = number_in(list.value(of.over, Json())) / number_in(list.value(of.under, Json()));
  if (std::isfinite(ratio)) {
    add(run.steps[of.name], line.at("epoch").get<std::int64_t>(), step, ratio);
  }
}

void add_step(RunRecord& run, const Json& line) {
  const auto epoch = line.at("epoch").get<std::int64_t>();
  const double step = line.value("step", run.facts.last_step + 1);
  run.facts.last_step = std::max(run.facts.last_step, step);
  for (const char* name : step_names) {
    if (line.contains(name)) {
      add(run.steps[name], epoch, step, number_in(line[name]));
    }
  }
  for (const std::string name : named_step_names) {
    if (line.contains(name)) {
      for (const auto& [of, value] : line[name].items()) {
        add(run.steps[name + "/" + of], epoch, step, number_in(value));
      }
    }
  }
  for (const RatioOfNames& of : ratios) {
    add_ratio(run, line, step, of);
  }
}

void add_facts(RunRecord& run, const Json& line) {
  run.parameters = number_in(line.value("parameters", Json()));
  run.twin_parameters = number_in(line.value("twin_parameters", Json()));
  run.facts.steps = number_in(line.value("steps", Json()));
  const std::pair<const char*, std::string*> texts[] = {
      {"version", &run.facts.version},       {"size", &run.facts.size}, {"device", &run.facts.device},
      {"precision", &run.facts.precision},   {"gate", &run.facts.gate}, {"calibrator", &run.facts.calibrator},
      {"gamma_pair", &run.facts.gamma_pair},
  };
  for (const auto& [name, text] : texts) {
    if (line.contains(name) && line[name].is_string()) {
      *text = line[name].get<std::string>();
    }
  }
  run.facts.tasks = line.value("tasks", std::vector<std::string>());
}

void add_line(RunRecord& run, const Json& line) {
  const auto kind = line.at("kind").get<std::string>();
  if (kind == "step") {
    add_step(run, line);
  } else if (kind == "run") {
    add_facts(run, line);
  } else if (kind == "gradient_rows") {
    run.gradient_rows.push_back(
        {line.at("step").get<std::int64_t>(), line.at("rows").get<std::map<std::string, std::vector<double>>>()});
  } else if (kind == "evaluation" && line.value("without", Json::array()).empty()) {
    run.figures = figures_in(line);
    run.facts.last_step = std::max(run.facts.last_step, line.value("step", 0.0));
    for (const auto& [name, value] : run.figures) {
      run.evaluations[name][line.at("epoch").get<std::int64_t>()] = value;
    }
  }
}

void read_log(RunRecord& run) {
  const std::filesystem::path file = run.folder / "log.jsonl";
  std::ifstream in(file);
  if (!in) {
    throw std::runtime_error(file.string() + ": cannot be read; is this the folder of a run?");
  }
  std::string text;
  for (std::size_t number = 1; std::getline(in, text); ++number) {
    const bool unfinished = in.eof();  // a run that was killed, or goes on, ends within a line
    try {
      add_line(run, Json::parse(text));
    } catch (const Json::exception& error) {
      if (!unfinished) {
        throw std::runtime_error(file.string() + ", line " + std::to_string(number) + ": " + error.what());
      }
    }
  }
}

void read_evaluation(RunRecord& run) {
  const std::filesystem::path file = run.folder / "evaluation.json";
  std::ifstream in(file);
  if (!in) {
    return;
  }
  try {
    const nlohmann::ordered_json ordered = nlohmann::ordered_json::parse(in);
    const Json json = ordered;
    run.figures = figures_in(json);
    run.details = evaluation_details(ordered);
    for (const Json& one : json.value("missing", Json::array())) {
      std::string name;
      for (const Json& sensor : one.at("without")) {
        name += (name.empty() ? "" : ", ") + sensor.get<std::string>();
      }
      run.missing[name] = figures_in(one);
    }
  } catch (const Json::exception& error) {
    throw std::runtime_error(file.string() + ": " + error.what());
  }
}

}  // namespace

double RunRecord::mean_of(const std::string& quantity) const {
  const auto found = steps.find(quantity);
  if (found == steps.end() || found->second.values.empty()) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  double sum = 0;
  for (const double value : found->second.values) {
    sum += value;
  }
  return sum / static_cast<double>(found->second.values.size());
}

double RunRecord::median_of(const std::string& quantity) const {
  const auto found = steps.find(quantity);
  return found == steps.end() ? std::numeric_limits<double>::quiet_NaN() : median(found->second.values);
}

std::string RunRecord::config_of(const std::string& field) const {
  const auto found = std::find_if(config.begin(), config.end(), [&](const auto& one) { return one.first == field; });
  return found == config.end() ? "" : found->second;
}

double RunRecord::training_seconds() const { return mean_of("seconds") * facts.last_step; }

std::string group_of_folder(const std::filesystem::path& folder) {
  const std::filesystem::path clean = folder.lexically_normal();
  const std::string name = (clean.has_filename() ? clean : clean.parent_path()).filename().string();
  static const std::regex seed("[-_.]+(seed|s)?[-_.]?[0-9]+$");
  return std::regex_replace(name, seed, "");
}

RunRecord read_run(const std::string& choice) {
  RunRecord run;
  const std::size_t equals = choice.find('=');
  run.folder = equals == std::string::npos ? choice : choice.substr(equals + 1);
  run.group = equals == std::string::npos ? group_of_folder(run.folder) : choice.substr(0, equals);
  read_log(run);
  read_evaluation(run);
  run.config = config_fields_in(run.folder / "config.toml");
  run.facts.begun = begun(run.folder);
  for (const char* file : files_of_a_run) {
    if (std::filesystem::exists(run.folder / file)) {
      run.facts.files.emplace_back(file);
    }
  }
  return run;
}

}  // namespace bevfusion
