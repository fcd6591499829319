// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <any>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <torch/types.h>

#include "bevfusion/model/kinds.hpp"
#include "bevfusion/model/network.hpp"

namespace bevfusion {

/// What an expert has of a batch.
struct ExpertAnswer {
  torch::Tensor shared;  ///< [B, C, X, Y]: its shared representation
  std::any said;         ///< what its head says; see Task::forward()
};

/// A trained network that teaches one of its tasks. It is frozen: in evaluation mode, its parameters without gradients, and what
/// it says is a constant, so that it costs a forward and no backward.
class Expert {
 public:
  /// @throws std::invalid_argument where the network has not the task
  Expert(std::string task, Network network);

  const std::string& task() const { return task_; }
  std::int64_t channels() const { return tower_->shared_channels(); }
  /// Of its weights: a run that goes on has to be taught by the same.
  std::uint32_t checksum() const { return checksum_; }
  ExpertAnswer answer(const ModelInput& input);

 private:
  std::string task_;
  Network network_;
  BevFusion tower_{nullptr};
  std::uint32_t checksum_;
};

using Experts = std::vector<std::shared_ptr<Expert>>;

/// The experts of a run's distillation.teachers, on its device: the evaluated weights of each run's checkpoint.
/// @throws std::invalid_argument, std::runtime_error that names the teacher and says what does not fit: a folder that is no
/// run's,
///   a task that it has not, another grid, other labels or other inputs, a sensor that this run has not, a checkpoint that cannot
///   be read
Experts load_experts(const RunConfig& config, const Kinds& kinds = bevfusion::kinds());

}  // namespace bevfusion
