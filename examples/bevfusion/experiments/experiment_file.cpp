// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <nlohmann/json.hpp>

#include "bevfusion/experiments/experiment_runner.hpp"
#include "support/output_file.hpp"

namespace bevfusion {
namespace {

using Json = nlohmann::ordered_json;

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json runs_of(const ExperimentPlan& plan, std::size_t sheet, const std::filesystem::path& folder) {
  Json out = Json::array();
  for (const ExperimentRow& row : plan.sheets[sheet].rows) {
    for (const PlannedRun& planned : plan.runs) {
      for (const AskedBy& by : planned.asked_by) {
        if (by.sheet == sheet && by.row == row.key) {
          const ExperimentRun& run = planned.run;
          // Relative, so that all of OUT can be moved.
          out.push_back(
              {{"row", row.key},
               {"seed", run.seed},
               {"folder", std::filesystem::absolute(run.folder).lexically_relative(std::filesystem::absolute(folder)).string()},
               {"train_command", run.train_command},
               {"eval_command", run.eval_command},
               {"predict_command", run.predict_command}});
        }
      }
    }
  }
  return out;
}

}  // namespace

std::vector<std::filesystem::path> write_experiments(const ExperimentPlan& plan) {
  std::vector<std::filesystem::path> folders;
  for (std::size_t s = 0; s < plan.sheets.size(); ++s) {
    const std::filesystem::path folder = plan.options.out / plan.sheets[s].name;
    std::filesystem::create_directories(folder);
    const Json json = {{"experiment", plan.sheets[s].name},
                       {"size", plan.options.size},
                       {"device", plan.options.device},
                       {"quick", plan.options.quick},
                       {"repeat", plan.options.repeat},
                       {"data", plan.data.synth_command.empty() ? plan.options.data + ", " + plan.data.version
                                                                : shell_text(plan.data.synth_command)},
                       {"training_samples", number(plan.data.training_samples)},
                       {"evaluation_samples", number(plan.data.evaluation_samples)},
                       {"runs", runs_of(plan, s, folder)},
                       {"sheet", plan.sheet_texts[s]}};
    example::write_file(folder / "experiment.json", json.dump(1) + "\n");
    folders.push_back(folder);
  }
  return folders;
}

}  // namespace bevfusion
