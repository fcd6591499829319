// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "bevfusion/distillation/teacher.hpp"
#include "bevfusion/model/kinds.hpp"
#include "bevfusion/model/network.hpp"

namespace bevfusion {

/// A trained network that teaches one of its tasks. It is frozen: in evaluation mode, its parameters without gradients, so that
/// it costs a forward and no backward.
class Expert final : public Teacher {
 public:
  /// @throws std::invalid_argument where the network has not the task
  Expert(std::string task, Network network);

  const std::string& task() const override { return task_; }
  std::int64_t channels() const override { return tower_->shared_channels(); }
  TeacherAnswer answer(const ModelInput& input) override;
  std::optional<std::uint32_t> checksum() const override { return checksum_; }

 private:
  std::string task_;
  Network network_;
  BevFusion tower_{nullptr};
  std::uint32_t checksum_;
};

/// A run's config and network.
struct TrainedRun {
  RunConfig config;
  Network network{nullptr};
};

/// Another run that has a task of this one, with the evaluated weights of its checkpoint, on this run's device.
/// @throws as load_experts()
TrainedRun load_run_of_task(const std::string& task, const std::string& run, const RunConfig& config,
                            const Kinds& kinds = bevfusion::kinds());

/// The experts of a run's distillation.teachers, on its device: the evaluated weights of each run's checkpoint.
/// @throws std::invalid_argument, std::runtime_error that names the teacher and says what does not fit: a folder that is no
/// run's,
///   a task that it has not, another grid, other labels or other inputs, a sensor that this run has not, a checkpoint that cannot
///   be read
Teachers load_experts(const RunConfig& config, const Kinds& kinds = bevfusion::kinds());

}  // namespace bevfusion
