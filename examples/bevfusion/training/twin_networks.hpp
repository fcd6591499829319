// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <torch/serialize/archive.h>

#include "bevfusion/distillation/teacher.hpp"
#include "bevfusion/model/norm_sums.hpp"
#include "bevfusion/training/checkpoint.hpp"
#include "bevfusion/training/step_record.hpp"

namespace bevfusion {

class RunRanks;

/// The config of a network for one of a run's tasks alone: as the run's, with one tower, and nothing to calibrate or to be
/// taught.
RunConfig twin_config(RunConfig config, const std::string& task);

/// A network for one task that is trained beside the run's, on the same batches, with an optimiser of its own, and teaches it. No
/// gradient goes from one to the other. So it is, bit for bit, the network of a run for that task alone, of the same seed and
/// samples; and what it answers is what it said in its own step on the batch: in training mode, by the sensors that are there.
class TwinNetwork final : public Teacher {
 public:
  /// @param config  the run's
  /// @param ranks   that divide each batch, with this process among them; nullptr: all of it is here
  TwinNetwork(std::string task, const RunConfig& config, const Kinds& kinds, RunRanks* ranks);

  const std::string& task() const override { return task_; }
  std::int64_t channels() const override { return network_->towers().front()->shared_channels(); }
  /// What it said of the batch that it learnt last.
  TeacherAnswer answer(const ModelInput&) override { return towers_.front()->answer(); }

  /// Runs one batch forward and backward, as all ranks do; see TowerTrainer::backward().
  /// @return its losses, as TowerTrainer::tasks() of its tower has them
  std::vector<double> learn(const ModelInput& input, const TrainingBatch& batch, double share);
  /// @throws std::runtime_error for a gradient that is not finite
  void step(const ScheduledStep& schedule);

  Network& network() { return network_; }
  const TowerTrainer& trainer() const { return *towers_.front(); }
  void save(torch::serialize::OutputArchive& archive) const;
  void load(torch::serialize::InputArchive& archive);

 private:
  std::string task_;
  RunRanks* ranks_;
  Network network_{nullptr};
  TowerTrainers towers_;  ///< one
  std::shared_ptr<NormSums> norms_;
};

/// The twins of a run (distillation.twins, where twins_share is nothing).
class TwinNetworks {
 public:
  TwinNetworks(const RunConfig& config, const Kinds& kinds, RunRanks* ranks);

  Teachers teachers() const { return {twins_.begin(), twins_.end()}; }
  const std::vector<std::shared_ptr<TwinNetwork>>& all() const { return twins_; }
  /// Of all of them.
  std::vector<torch::Tensor> parameters() const;

  /// Starts their branches from the files of the config, as init_network() does.
  void begin_from(const InitConfig& init);
  /// Runs one batch through each.
  void learn(const ModelInput& input, const TrainingBatch& batch, double share);
  void step(const ScheduledStep& schedule);
  /// Their losses in the last batch, by task.
  const NamedValues& losses() const { return losses_; }

  void save(torch::serialize::OutputArchive& archive) const;
  void load(torch::serialize::InputArchive& archive);

 private:
  std::vector<std::shared_ptr<TwinNetwork>> twins_;
  NamedValues losses_;
};

}  // namespace bevfusion
