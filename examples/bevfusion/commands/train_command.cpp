// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/commands/train_command.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/commands/chosen_device.hpp"
#include "bevfusion/config/calibration_choice.hpp"
#include "bevfusion/config/config_file.hpp"
#include "bevfusion/config/run_options.hpp"
#include "bevfusion/evaluation/evaluate.hpp"
#include "bevfusion/loading/label_coverage.hpp"
#include "bevfusion/training/split_samples.hpp"
#include "bevfusion/training/trainer.hpp"
#include "bevfusion/weights/init_from.hpp"
#include "support/folder_lock.hpp"
#include "support/number_range.hpp"

namespace bevfusion {
namespace {

namespace fs = std::filesystem;

struct TrainArguments {
  explicit TrainArguments(CLI::App& command) : options(command) {}

  RunOptions options;
  std::string out;
  bool resume = false;
  std::int64_t steps = -1;
};

/// Fields that a resumed run may change: what it learns does not depend on them.
constexpr std::array<const char*, 7> free_fields = {"data.root",
                                                    "data.threads",
                                                    "data.ahead",
                                                    "training.device",
                                                    "training.checkpoint_every",
                                                    "training.evaluate_every",
                                                    "data.validation_split"};

void expect_no_run(const fs::path& folder) {
  for (const char* name : {"config.toml", "checkpoint.pt", "log.jsonl"}) {
    if (fs::exists(folder / name)) {
      throw std::invalid_argument(folder.string() +
                                  " holds a run already; --resume goes on with it, another --out begins a new one");
    }
  }
}

/// A run's folder may be used from anywhere: the files that its config names are named from the root.
RunConfig with_whole_paths(RunConfig config) {
  for (std::string* path :
       {&config.data.root, &config.init.lidar, &config.init.lidar_names, &config.init.camera, &config.init.camera_names}) {
    if (!path->empty()) {
      *path = fs::absolute(*path).lexically_normal().string();
    }
  }
  return config;
}

/// The run's config: of the command line, or, for a run that goes on, of its folder.
RunConfig config_of(const TrainArguments& arguments) {
  const fs::path folder = arguments.out;
  if (!arguments.resume || !fs::exists(folder / "config.toml")) {
    if (arguments.resume && fs::exists(folder / "checkpoint.pt")) {
      throw std::invalid_argument(folder.string() +
                                  " has a checkpoint.pt and no config.toml; 'bevfusion train --print-config' "
                                  "with the options that the run began with writes one");
    }
    return with_whole_paths(arguments.options.config());
  }
  const RunConfig begun = with_whole_paths(read_run_config(folder));
  const RunConfig wanted = with_whole_paths(arguments.options.over(begun));
  std::string other;
  for (const std::string& name : differences(begun, wanted)) {
    if (std::find(free_fields.begin(), free_fields.end(), name) == free_fields.end()) {
      other += (other.empty() ? "" : ", ") + name;
    }
  }
  if (!other.empty()) {
    throw std::invalid_argument(arguments.out + " holds a run with other values of " + other +
                                "; a run goes on as it began, or begins anew in another folder");
  }
  return wanted;
}

std::string described(const SplitSamples& split) {
  return std::to_string(split.rows.size()) + " samples of " + std::to_string(split.scenes) +
         (split.scenes == 1 ? " scene" : " scenes") +
         (split.missing > 0 ? " (" + std::to_string(split.missing) + " more scenes of the split are not there)" : "");
}

/// What a split's samples have labels for, as far as the network has tasks for it.
void tell_labels(const ModelParts& parts, const LabelCoverage& coverage) {
  const std::vector<TaskSheet> tasks = parts.tasks.chosen();
  const auto any_of = [&tasks](TaskLabels labels) {
    return std::any_of(tasks.begin(), tasks.end(), [labels](const TaskSheet& task) { return task.labels == labels; });
  };
  if (any_of(TaskLabels::boxes)) {
    std::printf("  boxes     %s\n", boxes_text(coverage).c_str());
  }
  if (any_of(TaskLabels::map)) {
    std::printf("  map       %s\n", masks_text(coverage).c_str());
  }
}

void tell(const RunConfig& config, const Network& network, const Tables& tables, const SplitSamples& training,
          const SplitSamples& validation) {
  std::int64_t parameters = 0;
  for (const torch::Tensor& parameter : network->parameters()) {
    parameters += parameter.numel();
  }
  std::string tasks;
  const std::vector<double> weights = task_weights(config);
  const std::vector<std::string> names = task_names(config);
  for (std::size_t i = 0; i < names.size(); ++i) {
    char weight[32];
    std::snprintf(weight, sizeof weight, "%g", weights[i]);
    tasks += (tasks.empty() ? "" : ", ") + names[i] + " x " + weight;
  }
  std::printf("data set    %s, %s\n", (fs::path(config.data.root) / config.data.version).c_str(), config.data.labels.c_str());
  std::printf("training    %s: %s\n", training.called.c_str(), described(training).c_str());
  tell_labels(config.model.parts, coverage_of(tables, training.rows, config.loading));
  std::printf("validation  %s: %s\n", validation.called.c_str(), described(validation).c_str());
  if (!validation.rows.empty()) {
    tell_labels(config.model.parts, coverage_of(tables, validation.rows, config.loading));
  }
  std::printf("network     %s, %lld parameters%s\n", config.size.c_str(), static_cast<long long>(parameters),
              config.model.separate_towers ? ", a tower for each task" : "");
  std::printf("tasks       %s\n", tasks.c_str());
  std::printf("calibrator  %s, gate %s\n", config.calibration.rule.c_str(), config.calibration.gate.c_str());
  std::printf("device      %s, %s, %d threads\n", config.training.device.c_str(), config.training.precision.c_str(),
              torch::get_num_threads());
  std::fflush(stdout);
}

void train(const TrainArguments& arguments) {
  const fs::path out = arguments.out;
  if (!arguments.resume) {
    expect_no_run(out);
  }
  const RunConfig config = config_of(arguments);
  if (config.data.root.empty()) {
    throw std::invalid_argument("--data.root is needed: a data set in nuScenes' format (bevfusion synth writes one)");
  }
  chosen_device("training.device", config.training.device);
  const Tables tables = read_tables(config.data.root, config.data.version, tables_options(config.data));
  const SplitSamples training = samples_needed(tables, config.data.train_split, "--data.train_split");
  const SplitSamples validation = samples_of_split(tables, config.data.validation_split);

  fs::create_directories(out);
  const example::FolderLock lock(out, "is being trained");
  if (!arguments.resume) {
    expect_no_run(out);
  }
  Network network = make_network(config);
  tell(config, network, tables, training, validation);
  const bool fresh = !arguments.resume || !fs::exists(out / "checkpoint.pt");
  if (fresh && !(config.init.lidar.empty() && config.init.camera.empty())) {
    init_network(network, config.init, std::cout);
  }

  TrainerOptions options;
  options.out = out;
  options.resume = arguments.resume;
  options.most_steps = arguments.steps;
  options.terminal = stderr;
  if (!validation.rows.empty()) {
    options.evaluate = [&](Network& trained) { return evaluate(trained, tables, validation.rows, config); };
  }
  Trainer trainer(config, network, tables, training.rows, options);
  write_config(config, out / "config.toml");  // once the checkpoint, if there is one, is found to fit
  const RunPosition& position = trainer.position();
  if (position.step > 0) {
    std::printf("resuming    after step %lld, in epoch %lld of %lld\n", static_cast<long long>(position.step),
                static_cast<long long>(position.epoch + 1), static_cast<long long>(config.training.epochs));
  } else if (arguments.resume) {
    std::printf("resuming    from the start: %s has no checkpoint yet\n", out.c_str());
  }
  std::fflush(stdout);
  const TrainingOutcome outcome = trainer.run();
  if (outcome.steps > 0) {
    std::printf("%lld steps, %.3f s a step, %.1f %% of it waiting for data\n", static_cast<long long>(outcome.steps),
                outcome.seconds / static_cast<double>(outcome.steps), 100 * outcome.waited / outcome.seconds);
  }
  if (outcome.skipped > 0) {
    std::printf("%lld steps were skipped: their half-precision gradient was not finite\n",
                static_cast<long long>(outcome.skipped));
  }
  std::printf("%s: %s\n", out.c_str(),
              outcome.finished ? "training is complete" : "stopped; --resume goes on from the last checkpoint");
}

}  // namespace

void add_train_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "train",
      "Train a network on a data set in nuScenes' format. The run's folder gets config.toml, checkpoint.pt, log.jsonl,\n"
      "event files for TensorBoard and evaluation.json. A run that was stopped, in whatever way, goes on where it was: the same\n"
      "command with --resume ends with the same weights, bit for bit, as if it had never been stopped.");
  const auto arguments = std::make_shared<TrainArguments>(*command);
  command->add_option("--out", arguments->out, "The run's folder; made where it is not there")->required()->type_name("DIR");
  command->add_flag("--resume", arguments->resume, "Go on with the run in --out, under the config it began with");
  command
      ->add_option("--steps", arguments->steps,
                   "End after this many optimiser steps, without writing a checkpoint at the end; for measuring speed")
      ->check(example::number_within<std::int64_t>(0))
      ->type_name("N");
  command->callback([arguments] { train(*arguments); });
}

}  // namespace bevfusion
