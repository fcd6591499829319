// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/commands/finished_run.hpp"

#include <algorithm>
#include <stdexcept>

#include <torch/torch.h>

#include "bevfusion/commands/chosen_device.hpp"
#include "bevfusion/config/config_file.hpp"
#include "bevfusion/training/checkpoint.hpp"
#include "bevfusion/training/split_samples.hpp"
#include "support/number_range.hpp"

namespace bevfusion {

void RunChoice::add_to(CLI::App& command, bool samples) {
  command.add_option("--run", run, "The run's folder, with config.toml and checkpoint.pt")->required()->type_name("DIR");
  command.add_option("--checkpoint", checkpoint, "Another checkpoint than the run folder's checkpoint.pt")->type_name("FILE");
  command
      .add_option("--weights", weights,
                  "Weights to use: averaged, where the run has an average (training.average), or last, those of its last step")
      ->check(CLI::IsMember({"averaged", "last"}))
      ->capture_default_str();
  command.add_option("--data", data, "Folder of the data set, if it is another than the run's config names")->type_name("DIR");
  command.add_option("--version", version, "Name of the tables' folder in it, if it is another than the run's config names")
      ->type_name("NAME");
  command.add_option("--device", device, "cpu, cuda, cuda:1, ...; the run's unless given")->type_name("NAME");
  if (!samples) {
    return;
  }
  command
      .add_option(
          "--split", split,
          "Split of the data set to use: train, val, test, mini_train or mini_val; the run's validation split unless given")
      ->type_name("NAME");
  command.add_option("--threads", threads, "Threads that load samples; as the run's unless given")
      ->check(example::number_within<int>(1))
      ->type_name("N");
  command.add_option("--batch", batch, "Samples per batch; as the run's unless given")
      ->check(example::number_within<int>(1))
      ->type_name("N");
}

std::vector<std::size_t> evenly_spread(std::size_t count, std::size_t size) {
  std::vector<std::size_t> chosen;
  count = std::min(count, size);
  for (std::size_t i = 0; i < count; ++i) {
    chosen.push_back((2 * i + 1) * size / (2 * count));
  }
  return chosen;
}

FinishedRun open_run(const RunChoice& choice) {
  const std::filesystem::path folder = choice.run;
  FinishedRun run;
  run.config = read_run_config(folder);
  run.checkpoint = choice.checkpoint.empty() ? folder / "checkpoint.pt" : std::filesystem::path(choice.checkpoint);
  if (!std::filesystem::exists(run.checkpoint)) {
    throw std::invalid_argument(run.checkpoint.string() + " is not there" +
                                (choice.checkpoint.empty() ? ": the run's first epoch has not ended; 'bevfusion train --out " +
                                                                 choice.run + " --resume' goes on with it"
                                                           : std::string()));
  }
  const auto override_with = [](auto& field, const auto& value) {
    if (value != std::decay_t<decltype(value)>{}) {
      field = value;
    }
  };
  override_with(run.config.data.root, choice.data);
  override_with(run.config.data.version, choice.version);
  override_with(run.config.data.threads, choice.threads);
  override_with(run.config.training.batch, choice.batch);
  override_with(run.config.training.device, choice.device);
  const torch::Device device = chosen_device(choice.device.empty() ? "training.device" : "--device", run.config.training.device);
  run.split = choice.split.empty() ? run.config.data.validation_split : choice.split;
  if (!std::filesystem::exists(run.config.data.root)) {
    throw std::invalid_argument("the run's data set, " + run.config.data.root + ", is not there" +
                                (std::filesystem::path(run.config.data.root).is_relative()
                                     ? " (seen from " + std::filesystem::current_path().string() + ")"
                                     : std::string()) +
                                "; --data DIR says where it is");
  }
  run.tables = read_tables(run.config.data.root, run.config.data.version, tables_options(run.config.data));
  run.samples = samples_needed(run.tables, run.split, "--split").rows;
  run.network = Network(run.config.model);
  run.network->to(device);
  run.averaged = load_network(run.checkpoint, run.network, choice.weights == "last" ? Weights::last_step : Weights::evaluated);
  return run;
}

}  // namespace bevfusion
