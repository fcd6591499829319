// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/commands/train_command.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/commands/chosen_device.hpp"
#include "bevfusion/commands/rank_launcher.hpp"
#include "bevfusion/config/calibration_choice.hpp"
#include "bevfusion/config/config_file.hpp"
#include "bevfusion/config/run_options.hpp"
#include "bevfusion/config/teacher_list.hpp"
#include "bevfusion/evaluation/evaluate.hpp"
#include "bevfusion/loading/label_coverage.hpp"
#include "bevfusion/ranks/run_ranks.hpp"
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
  int ranks = 0;  ///< to be started; 0: none
  int rank_timeout = 300;
};

/// Fields that a resumed run may change: what it learns does not depend on them.
constexpr std::array<const char*, 8> free_fields = {"data.root",
                                                    "distillation.teachers",  // wherever they lie: their weights are known
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
  auto teachers = teachers_in(config.distillation.teachers);
  for (auto& [task, run] : teachers) {
    run = fs::absolute(run).lexically_normal().string();
  }
  config.distillation.teachers = teacher_list(teachers);
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
  if (!config.distillation.teachers.empty()) {
    std::printf("teachers    %s\n", config.distillation.teachers.c_str());
  }
  if (!config.distillation.twins.empty()) {
    std::printf("twins       %s, %s\n", config.distillation.twins.c_str(),
                config.distillation.twins_share == "trunk" ? "second heads on the trunk" : "a network each");
  }
  std::printf("device      %s, %s, %d threads\n", config.training.device.c_str(), config.training.precision.c_str(),
              torch::get_num_threads());
  std::fflush(stdout);
}

/// The device of a rank: of several GPUs the one with its number on this machine.
std::string device_of(const std::string& device, const Launched& place) {
  if (device == "cuda") {
    return "cuda:" + std::to_string(place.local_rank);
  }
  if (device != "cpu") {
    throw std::invalid_argument("training.device is " + device +
                                ", one device for all ranks of a run; cuda gives each the GPU of its LOCAL_RANK");
  }
  return device;
}

/// The config as far as it has to be the same on all ranks.
std::string shared_config(RunConfig config) {
  const RunConfig defaults = run_of_size(config.size);
  config.data.root = defaults.data.root;
  config.data.threads = defaults.data.threads;
  config.data.ahead = defaults.data.ahead;
  config.training.device = defaults.training.device;
  std::ostringstream text;
  write_config(config, text);
  return text.str();
}

/// Each rank its part, in batches of a rank's size.
EvaluationFigures evaluate_on(RunRanks* ranks, Network& network, const Tables& tables, const std::vector<RowIndex>& samples,
                              const RunConfig& config, const RunConfig& of_rank) {
  EvaluationOptions options;
  if (ranks == nullptr) {
    return evaluate(network, tables, samples, config);
  }
  options.divided = {ranks->rank(), ranks->size(),
                     [ranks](const std::string& said) { return ranks->gather(said, "putting the evaluation together"); }};
  return evaluate(network, tables, samples, of_rank, options);
}

/// Whatever a run of this process, or of all of its ranks, needs before the network is made.
struct Prepared {
  RunConfig config;   ///< as config.toml has it
  RunConfig of_rank;  ///< with this rank's device, and its part of a batch in an evaluation
  Tables tables;
  SplitSamples training;
  SplitSamples validation;
  std::optional<example::FolderLock> lock;  ///< of the process that writes
};

Prepared prepare(const TrainArguments& arguments, const std::optional<Launched>& place) {
  const fs::path out = arguments.out;
  const bool writes = !place || place->rank == 0;
  if (!arguments.resume && writes) {
    expect_no_run(out);
  }
  Prepared run;
  run.config = config_of(arguments);
  if (run.config.data.root.empty()) {
    throw std::invalid_argument("--data.root is needed: a data set in nuScenes' format (bevfusion synth writes one)");
  }
  run.of_rank = run.config;
  if (place) {
    run.of_rank.training.device = device_of(run.config.training.device, *place);
    run.of_rank.training.batch = (run.config.training.batch + place->size - 1) / place->size;
  }
  chosen_device("training.device", run.of_rank.training.device);
  run.tables = read_tables(run.config.data.root, run.config.data.version, tables_options(run.config.data));
  run.training = samples_needed(run.tables, run.config.data.train_split, "--data.train_split");
  run.validation = samples_of_split(run.tables, run.config.data.validation_split);
  if (writes) {
    fs::create_directories(out);
    run.lock.emplace(out, "is being trained");
    if (!arguments.resume) {
      expect_no_run(out);
    }
  }
  return run;
}

void tell_beginning(const TrainArguments& arguments, const RunPosition& position, const RunConfig& config) {
  if (position.step > 0) {
    std::printf("resuming    after step %lld, in epoch %lld of %lld\n", static_cast<long long>(position.step),
                static_cast<long long>(position.epoch + 1), static_cast<long long>(config.training.epochs));
  } else if (arguments.resume) {
    std::printf("resuming    from the start: %s has no checkpoint yet\n", arguments.out.c_str());
  }
  std::fflush(stdout);
}

void tell_end(const TrainArguments& arguments, const TrainingOutcome& outcome) {
  if (outcome.steps > 0) {
    std::printf("%lld steps, %.3f s a step, %.1f %% of it waiting for data\n", static_cast<long long>(outcome.steps),
                outcome.seconds / static_cast<double>(outcome.steps), 100 * outcome.waited / outcome.seconds);
  }
  if (outcome.skipped > 0) {
    std::printf("%lld steps were skipped: their half-precision gradient was not finite\n",
                static_cast<long long>(outcome.skipped));
  }
  std::printf("%s: %s\n", arguments.out.c_str(),
              outcome.finished ? "training is complete" : "stopped; --resume goes on from the last checkpoint");
}

/// @param place  of this process among several; nothing for a run of one
void train(const TrainArguments& arguments, const std::optional<Launched>& place) {
  const fs::path out = arguments.out;
  const bool writes = !place || place->rank == 0;
  std::unique_ptr<RunRanks> ranks;
  if (place) {
    // Whatever else is wrong is told to the others through it.
    const std::string device = config_of(arguments).training.device;
    ranks = std::make_unique<RunRanks>(*place, chosen_device("training.device", device_of(device, *place)),
                                       std::chrono::seconds(arguments.rank_timeout));
  }
  std::optional<Prepared> prepared;
  const auto together = [&ranks](const char* what, const std::function<void()>& act) {
    ranks ? ranks->together(what, act) : act();
  };
  together("getting ready", [&] { prepared.emplace(prepare(arguments, place)); });
  Prepared& run = *prepared;
  const RunConfig& config = run.config;
  if (ranks) {
    ranks->expect_same("config", shared_config(config));
  }
  Network network = make_network(config);
  if (writes) {
    tell(config, network, run.tables, run.training, run.validation);
    if (ranks) {
      std::printf("ranks       %d, by %s; batches of %lld are divided among them\n", ranks->size(), ranks->transport().c_str(),
                  static_cast<long long>(config.training.batch));
      std::fflush(stdout);
    }
  }
  const bool fresh = !arguments.resume || !fs::exists(out / "checkpoint.pt");
  if (fresh && !(config.init.lidar.empty() && config.init.camera.empty())) {
    std::ostringstream unheard;
    together("taking the weights to begin with", [&] { init_network(network, config.init, writes ? std::cout : unheard); });
  }

  TrainerOptions options;
  options.out = out;
  options.resume = arguments.resume;
  options.most_steps = arguments.steps;
  options.terminal = writes ? stderr : nullptr;
  options.ranks = ranks.get();
  if (!run.validation.rows.empty()) {
    options.evaluate = [&](Network& trained) {
      return evaluate_on(ranks.get(), trained, run.tables, run.validation.rows, config, run.of_rank);
    };
  }
  RunConfig of_trainer = config;
  of_trainer.training.device = run.of_rank.training.device;
  Trainer trainer(of_trainer, network, run.tables, run.training.rows, options);
  if (writes) {
    write_config(config, out / "config.toml");  // once the checkpoint, if there is one, is found to fit
    tell_beginning(arguments, trainer.position(), config);
  }
  const TrainingOutcome outcome = trainer.run();
  if (writes) {
    tell_end(arguments, outcome);
  }
  if (ranks) {
    ranks->leave();
  }
}

/// One process, one of several, or the start of them.
void train_as_launched(const TrainArguments& arguments) {
  const std::optional<Launched> place = launched();
  if (place && arguments.ranks > 0 && arguments.ranks != place->size) {
    throw std::invalid_argument("--ranks " + std::to_string(arguments.ranks) + " under a launcher that has set WORLD_SIZE to " +
                                std::to_string(place->size) + "; a launcher starts the ranks itself");
  }
  if (!place && arguments.ranks > 1) {
    const int status = run_ranks_here(arguments.ranks);
    if (status != 0) {
      throw CLI::RuntimeError(status);
    }
    return;
  }
  train(arguments, place && place->size > 1 ? place : std::nullopt);
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
  command
      ->add_option("--ranks", arguments->ranks,
                   "Train with this many processes on this machine, which divide each batch: training.batch is that of all of\n"
                   "them. Under torchrun, srun or mpirun, which set RANK and WORLD_SIZE, it is left out. Numbers go by\n" +
                       transports())
      ->check(example::number_within<int>(1, 1024))
      ->type_name("N");
  command
      ->add_option("--rank-timeout", arguments->rank_timeout,
                   "Seconds within which a run ends, and says which rank did not come, once one does not")
      ->check(example::number_within<int>(2))
      ->capture_default_str()
      ->type_name("S");
  command->callback([arguments] { train_as_launched(*arguments); });
}

}  // namespace bevfusion
