// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bevfusion/model/network.hpp"
#include "bevfusion/training/averaged_weights.hpp"
#include "bevfusion/training/tower_trainer.hpp"

namespace bevfusion {

/// How far a run is.
struct RunPosition {
  std::int64_t epoch = 0;
  std::int64_t batch = 0;      ///< of the epoch, the next to be loaded
  std::int64_t step = 0;       ///< steps of the optimiser
  bool epoch_open = false;     ///< the epoch's batches are through, its evaluation is not
  std::int64_t log_bytes = 0;  ///< length of log.jsonl
  std::string data;            ///< trained_data()
};

using TowerTrainers = std::vector<std::unique_ptr<TowerTrainer>>;

class TwinNetworks;

/// Writes everything that a run needs to go on as if it had not been stopped: network, optimisers, calibrations, loss scales,
/// states of the random generators, position. The file is there whole, old or new, at any moment; its checksum is in it.
/// TorchScript reads it, too: Python's `torch.jit.load(FILE).network.state_dict()` has the network's tensors by name.
/// @param device   of the run, whose generator is saved as well
/// @param average  saved as well where there is one
/// @param twins    saved as well: networks that are trained beside the run's
/// @throws std::runtime_error, with file and reason, where it cannot be written; the old file is as it was then
void save_checkpoint(const std::filesystem::path& file, const Network& network, const TowerTrainers& towers,
                     const RunPosition& position, const torch::Device& device, const AveragedWeights* average = nullptr,
                     const TwinNetworks* twins = nullptr);

/// Reads it back into a network and trainers made with the same config, on the same or another device.
/// @throws std::runtime_error that says what does not fit, is damaged (by its checksum) or cannot be read
RunPosition load_checkpoint(const std::filesystem::path& file, Network& network, TowerTrainers& towers,
                            const torch::Device& device, AveragedWeights* average = nullptr, TwinNetworks* twins = nullptr);

/// Which weights of a checkpoint.
enum class Weights {
  evaluated,  ///< the average where the run has one, else those of the last step
  last_step
};

/// Reads the network's weights alone; the network stays on its device.
/// @return whether they are an average
/// @throws std::runtime_error where the file is none of ours, is damaged, or holds another network: names the first tensor that
///         differs
bool load_network(const std::filesystem::path& file, Network& network, Weights which = Weights::evaluated);

}  // namespace bevfusion
