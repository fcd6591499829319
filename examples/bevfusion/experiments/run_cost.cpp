// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/experiments/run_cost.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>

#include <nlohmann/json.hpp>

#include "bevfusion/experiments/run_file.hpp"
#include "bevfusion/experiments/run_key.hpp"
#include "bevfusion/report/run_details.hpp"

namespace bevfusion {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

struct Cost {
  double per_step = 0;
  double per_run = 0;  ///< start and evaluations
};
struct StatedCost {
  const char* size;
  Cost cost;
  const char* from;
};
constexpr std::array<StatedCost, 3> stated = {
    {{"tiny", {0.25, 50}, "stated for one core of 2020; no run of this size has finished in this folder"},
     {"small", {1, 600}, "a guess for one GPU: it was not measured"},
     {"full", {6, 1800}, "a guess for one GPU: it was not measured"}}};

std::optional<Json> parsed(const std::string& line) {
  const Json json = Json::parse(line, nullptr, false);
  return json.is_object() ? std::optional<Json>(json) : std::nullopt;
}

/// What the finished runs beside the plan's took.
std::optional<Cost> measured(const ExperimentPlan& plan, int& runs) {
  double step_seconds = 0;
  double steps = 0;
  double others = 0;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(plan.options.out / "runs", none)) {
    const fs::path folder = entry.path();
    if (folder.filename().string().rfind(plan.options.size + "-", 0) != 0) {
      continue;
    }
    const std::optional<RunFile> file = read_run_file(folder);
    const std::optional<LogProgress> log = log_progress(folder);
    if (!file || file->stage != RunFile::Stage::evaluated || !log || !(log->seconds > 0)) {
      continue;
    }
    if (value_of(config_fields_in(folder / "config.toml"), "training.device") == plan.options.device) {
      step_seconds += log->seconds * log->step;
      steps += log->step;
      others += std::max(file->wall_seconds - log->seconds * log->step, 0.0);  // a sitting that was killed took its time along
      ++runs;
    }
  }
  return runs > 0 ? std::optional<Cost>({step_seconds / steps, others / runs}) : std::nullopt;
}

/// Samples of the training split: of the plan, of a log of a run on the same data, or counted.
double training_samples(ExperimentPlan& plan) {
  if (std::isnan(plan.data.training_samples)) {
    for (const PlannedRun& run : plan.runs) {
      const std::optional<LogProgress> log = log_progress(run.run.folder);
      if (log && log->samples > 0) {
        plan.data.training_samples = log->samples;
        return log->samples;
      }
    }
    if (plan.options.count_samples && !plan.runs.empty()) {
      const ConfigFields& config = plan.runs.front().config;
      plan.data.training_samples =
          plan.options.count_samples(plan.data.root.string(), plan.data.version, value_of(config, "data.train_split"));
    }
  }
  return plan.data.training_samples;
}

}  // namespace

std::optional<LogProgress> log_progress(const fs::path& run) {
  std::ifstream in(run / "log.jsonl", std::ios::binary);
  std::string line;
  if (!in || !std::getline(in, line)) {
    return std::nullopt;
  }
  LogProgress out;
  if (const std::optional<Json> first = parsed(line)) {
    out.steps = first->value("steps", 0.0);
    out.samples = first->value("samples", 0.0);
  }
  const auto after_first = in.tellg();
  in.clear();
  in.seekg(0, std::ios::end);
  constexpr std::streamoff tail = 1 << 14;
  const std::streamoff size = in.tellg();
  in.seekg(std::max<std::streamoff>(size - tail, after_first < 0 ? std::streamoff(0) : std::streamoff(after_first)));
  double timed = 0;
  while (std::getline(in, line)) {
    const std::optional<Json> json = parsed(line);
    if (json && json->contains("step") && (*json)["step"].is_number()) {
      out.step = std::max(out.step, (*json)["step"].get<double>());
      if (json->contains("seconds") && (*json)["seconds"].is_number()) {
        out.seconds += (*json)["seconds"].get<double>();
        ++timed;
      }
    }
  }
  out.seconds = timed > 0 ? out.seconds / timed : 0;
  return out;
}

void add_costs(ExperimentPlan& plan) {
  int runs = 0;
  Cost cost;
  if (const std::optional<Cost> found = measured(plan, runs)) {
    cost = *found;
    plan.cost_from = "measured on " + std::to_string(runs) + (runs == 1 ? " finished run" : " finished runs") + " of this size";
  } else {
    const auto of_size =
        std::find_if(stated.begin(), stated.end(), [&](const StatedCost& one) { return plan.options.size == one.size; });
    cost = of_size->cost;
    plan.cost_from = of_size->from;
  }
  plan.seconds_per_step = cost.per_step;
  plan.seconds_per_run = cost.per_run;
  const double samples = training_samples(plan);
  for (PlannedRun& run : plan.runs) {
    const std::optional<LogProgress> log = log_progress(run.run.folder);
    const double batches = std::ceil(samples / number_of_field(run.config, "training.batch"));
    run.steps =
        number_of_field(run.config, "training.epochs") * std::ceil(batches / number_of_field(run.config, "training.accumulate"));
    if (log && log->steps > 0) {
      run.steps = log->steps;
    }
    run.done_steps = log ? log->step : 0;
    const bool done = run.run.state == RunState::done;
    run.seconds = done ? 0 : std::max(run.steps - run.done_steps, 0.0) * cost.per_step + cost.per_run;
  }
}

}  // namespace bevfusion
