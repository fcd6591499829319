// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/commands/eval_command.hpp"

#include <cstdio>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bevfusion/commands/finished_run.hpp"
#include "bevfusion/evaluation/evaluate.hpp"
#include "bevfusion/evaluation/figures_json.hpp"
#include "bevfusion/evaluation/figures_table.hpp"
#include "support/output_file.hpp"
#include "support/progress.hpp"

namespace bevfusion {
namespace {

struct EvalArguments {
  RunChoice choice;
  std::string missing;  ///< nothing, "sensors" or "table"
  std::string missing_as = "maps";
  std::string out;
};

void evaluate_run(const EvalArguments& arguments) {
  const bool missing = !arguments.missing.empty();
  if (arguments.missing_as != "maps" && !missing) {
    throw std::invalid_argument("--missing-as says how a sensor is missing, and needs --missing");
  }
  FinishedRun run = open_run(arguments.choice);
  const Missing as = arguments.missing_as == "inputs" ? Missing::inputs : Missing::maps;
  const std::vector<SensorFailure> failures =
      missing ? sensor_failures(run.config, arguments.missing == "table", as) : std::vector<SensorFailure>(1);
  std::vector<std::pair<std::string, EvaluationFigures>> named;
  nlohmann::ordered_json json;
  {
    example::Progress progress(static_cast<double>(run.samples.size() * failures.size()));
    for (const SensorFailure& failure : failures) {
      EvaluationOptions options;
      options.failure = failure;
      options.progress = [&](std::size_t samples) { progress.advance(static_cast<double>(samples)); };
      named.emplace_back(called(failure, run.config), evaluate(run.network, run.tables, run.samples, run.config, options));
      auto figures = figures_json(named.back().second, {});
      figures.update(json_of(failure, run.config));
      if (failure.any()) {
        json["missing"].push_back(figures);
        continue;
      }
      json = figures;
      json.erase("called");
      json["split"] = run.split;
      json["checkpoint"] = run.checkpoint.string();
      json["weights"] = run.averaged ? "averaged" : "last";
    }
  }
  std::printf("%s, split %s: %s", run.checkpoint.c_str(), run.split.c_str(), figures_text(named.front().second).c_str());
  if (missing) {
    std::printf("\nWithout a sensor (%s)\n\n%s",
                arguments.missing_as == "inputs" ? "black pictures, empty clouds" : "its map replaced by zeros",
                headline_table(named).c_str());
  }
  const std::filesystem::path file = arguments.out.empty() ? std::filesystem::path(arguments.choice.run) / "evaluation.json"
                                                           : std::filesystem::path(arguments.out);
  example::write_file(file, json.dump(1) + "\n");
  std::printf("\nwrote %s\n", file.c_str());
}

}  // namespace

void add_eval_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "eval",
      "Evaluate a run's network: detection by nuScenes' protocol (mAP, NDS, five errors), map and foreground masks by IoU at "
      "each\n"
      "class's best threshold of 0.35 ... 0.65. The table's columns in brackets are IoUs at lower thresholds; no mean counts "
      "them.");
  const auto arguments = std::make_shared<EvalArguments>();
  arguments->choice.add_to(*command);
  command
      ->add_flag("--missing{sensors}", arguments->missing,
                 "Also evaluate with a sensor missing: once without cameras, once without LiDAR. --missing=table: also without\n"
                 "each single camera, and with 16 and with 4 of the LiDAR's 32 beams")
      ->check(CLI::IsMember({"sensors", "table"}));
  command
      ->add_option("--missing-as", arguments->missing_as,
                   "How it is missing: maps, zeros in place of its branch's map; inputs, black pictures or empty clouds")
      ->check(CLI::IsMember({"maps", "inputs"}))
      ->capture_default_str();
  command->add_option("--out", arguments->out, "Where the figures go; evaluation.json in the run's folder unless given")
      ->type_name("FILE");
  command->callback([arguments] { evaluate_run(*arguments); });
}

}  // namespace bevfusion
