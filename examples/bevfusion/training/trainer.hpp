// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/evaluation/evaluate.hpp"
#include "bevfusion/model/network.hpp"
#include "bevfusion/model/norm_sums.hpp"
#include "bevfusion/nuscenes/tables.hpp"
#include "bevfusion/training/checkpoint.hpp"
#include "bevfusion/training/run_log.hpp"
#include "bevfusion/training/training_data.hpp"
#include "bevfusion/training/twin_networks.hpp"

namespace example {
class Progress;
}

namespace bevfusion {

class RunRanks;

/// The network of a run, fresh: its weights depend on the config alone.
/// @param kinds  the parts and labels that the config may name
/// @throws std::invalid_argument for one of model.numbers that no part read when it was made
Network make_network(const RunConfig& config, const Kinds& kinds = bevfusion::kinds());

/// What a training is to do beside its config.
struct TrainerOptions {
  std::filesystem::path out;     ///< the run's folder, which exists
  bool resume = false;           ///< goes on from the folder's checkpoint, or from the start where it holds none yet
  std::int64_t most_steps = -1;  ///< ends the call after so many steps, without a checkpoint, as a kill would; -1: none
  /// The processes that divide each batch, this one among them; must outlive the trainer. nullptr: all of it is here. Every rank
  /// sees the same folder; the first writes it.
  RunRanks* ranks = nullptr;
  /// What teachers' networks may be made of; must outlive the constructor. nullptr: the program's kinds.
  const Kinds* kinds = nullptr;
  /// Called at the end of each `evaluate_every` epochs, on every rank; what the first gets is written. May be empty.
  std::function<EvaluationFigures(Network&)> evaluate;
  std::FILE* terminal = nullptr;  ///< where progress is told; nullptr: nowhere
};

/// What a training took.
struct TrainingOutcome {
  std::int64_t steps = 0;    ///< in this call
  std::int64_t skipped = 0;  ///< ever
  bool finished = false;     ///< all epochs are through
  double seconds = 0;        ///< in steps
  double waited = 0;         ///< of them, for data
};

/// Trains a network by its config, step by step, with checkpoints, logs and evaluations.
///
/// A run that was killed at any moment and resumed equals the uninterrupted one bit for bit, in weights and in log.jsonl (except
/// `seconds`, `waited` and `peak_memory`), on the same machine with the same number of threads and ranks and where LibTorch's
/// operations are deterministic, as they are on the CPU.
class Trainer {
 public:
  /// Seeds LibTorch's random generators, or restores them from the checkpoint.
  /// @param network  from make_network(), maybe with weights loaded
  /// @param tables   must outlive this
  /// @throws std::runtime_error for a checkpoint that does not fit
  Trainer(const RunConfig& config, Network network, const Tables& tables, std::vector<RowIndex> samples, TrainerOptions options);

  /// @throws DataError, std::runtime_error for files that cannot be read or written, and for a training that diverges
  TrainingOutcome run();

  const RunPosition& position() const { return position_; }
  std::int64_t steps_of_epoch() const;

 private:
  void make_towers();
  void begin_log();
  void train_epoch(Prefetcher<TrainingBatch>& batches, example::Progress* progress);
  StepRecord train_step(Prefetcher<TrainingBatch>& batches, std::int64_t count);
  /// Forward and backward of one batch, or of this rank's part of it: the losses of each tower's tasks, over all of it.
  std::vector<std::vector<double>> learn(const TrainingBatch& batch, const ModelInput& input, double share);
  void write_gradient_rows(const TrainingBatch& batch, const ModelInput& input, std::int64_t step);
  bool writes() const;  ///< whether this is the rank that does
  void expect_same_on_ranks();
  /// All that the optimisers train.
  std::vector<torch::Tensor> trained_parameters() const;
  void close_epoch(example::Progress* progress);
  void write_evaluation(const EvaluationFigures& figures);
  void checkpoint();
  bool stopped() const { return options_.most_steps >= 0 && outcome_.steps >= options_.most_steps; }

  RunConfig config_;
  TrainerOptions options_;
  Network network_;
  TowerTrainers towers_;
  TwinNetworks twins_;
  TwinHeads heads_;  ///< twins in the tower
  TrainingData data_;
  torch::Device device_;
  RunPosition position_;
  std::unique_ptr<RunLog> log_;
  TrainingOutcome outcome_;
  AveragedWeights average_;
  std::shared_ptr<NormSums> norms_;  ///< of batch norms that see all ranks' samples; null: none does
};

}  // namespace bevfusion
