// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <torch/optim/optimizer.h>

#include <fuller/amp/grad_scaler.hpp>
#include <fuller/fuller.hpp>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/distillation/distiller.hpp"
#include "bevfusion/model/bev_fusion.hpp"
#include "bevfusion/training/one_cycle.hpp"
#include "bevfusion/training/training_data.hpp"

namespace bevfusion {

/// What one rank of several has of a batch that they divide.
struct RankPart {
  double share = 1;  ///< its samples over the mean over the ranks: what the sum of its losses counts
  /// Of each loss: the share of its labels that this rank has, over its share of the samples. 0 where others have all of them,
  /// NaN where nobody has any. Empty: the whole batch is here.
  std::vector<double> losses;
};

/// What an optimiser's step did.
struct UpdateFigures {
  double gradient_norm = 0;  ///< of all parameters, before clipping and without the loss scale
  bool taken = false;        ///< false where the gradient was not finite (half precision) or no task had a label
};

/// One tower with its optimiser and, where it has several tasks or gates, its calibration.
class TowerTrainer {
 public:
  /// @throws std::invalid_argument, fuller::Error for a calibration that makes no sense, and for gates on a fuser whose branches
  /// cannot be told apart
  /// @param ranks     of its calibration, where other processes have the rest of each batch
  /// @param teaching  who teaches its tasks
  TowerTrainer(BevFusion tower, const RunConfig& config, const fuller::Ranks& ranks = {}, const Teaching& teaching = {});

  const std::vector<std::string>& tasks() const { return tasks_; }

  /// Runs one batch forward and backward; its gradient, `share` of it, is added to what is there. With a calibration each batch
  /// is calibrated by itself.
  /// @param input  on the run's device
  /// @param part   which part of the batch this is, where ranks divide it: each calls this or idle()
  /// @return the losses of tasks(), unweighted; NaN where the batch has no label of the task
  std::vector<double> backward(const ModelInput& input, const TrainingBatch& batch, double share, const RankPart& part = {});

  /// What teachers added to the losses of tasks() in the last backward; NaN where nothing.
  const std::vector<double>& taught() const { return taught_; }
  /// The losses of twin heads in it, by the task's place in tasks(); NaN where there is none.
  const std::vector<double>& twin_losses() const { return twin_losses_; }
  /// Parameters that are trained with the tower and are no part of it: the teachers' adapters, and twin heads.
  std::vector<torch::Tensor> adapters() const { return distiller_.parameters(); }

  /// From now on keeps what the tower said in the last backward, for a network that it teaches.
  void keep_answers() { keeps_ = true; }
  const TeacherAnswer& answer() const { return answer_; }

  /// Takes part without a sample in the backward of other ranks.
  void idle();

  /// How many labels of each of tasks() a batch has: what their losses are means over. Of a task with labels of its own, samples
  /// that have some; as many as its samples where it keeps them elsewhere.
  std::vector<double> label_counts(const TrainingBatch& batch) const;

  /// The norms of the rows of each task's gradient at the last shared layer, unfolded along its first axis (FULLER's Figure 3),
  /// of the tasks that the batch has labels of; unweighted. A forward pass of its own and a partial backward pass for each task,
  /// which leave gradients, running means and what comes after as they were.
  std::map<std::string, std::vector<double>> gradient_rows(const ModelInput& input, const TrainingBatch& batch);

  /// Clips the gradient, lets the optimiser step, and clears the gradient. Waits for the device.
  /// @throws std::runtime_error for a gradient that is not finite, except under a loss scale that adapts
  UpdateFigures step(const ScheduledStep& schedule);

  void end_epoch();

  /// What the calibration showed in the last backward, where tasks are weighted by it.
  std::optional<fuller::Diagnostics> diagnostics() const;
  bool weighs_tasks() const { return calibration_ && config_.calibration.rule != "none"; }
  /// What multiplies the loss, where it is in half precision.
  const fuller::GradScaler& loss_scale() const { return scaler_; }
  /// Steps whose gradient was not finite, ever.
  std::int64_t skipped() const { return skipped_; }

  void save(torch::serialize::OutputArchive& archive) const;
  /// @throws std::runtime_error for the state of another optimiser
  void load(torch::serialize::InputArchive& archive);

 private:
  /// Clips the gradient, which is `norm` long, and lets the optimiser step.
  void take_step(const ScheduledStep& schedule, double norm);
  /// Weighs the losses of a part of the batch by their labels, with zeros for those that are on other ranks.
  void divide(std::vector<torch::Tensor>& losses, const std::vector<SharedFeatures>& shared, const RankPart& part) const;
  /// What the tasks share, once for each, or once for all.
  std::vector<SharedFeatures> shared_outputs(const std::vector<torch::Tensor>& maps, std::vector<torch::Tensor> pictures,
                                             std::uint64_t draws);
  /// A term of each task as one of each of tasks(): of the first of the task's losses.
  std::vector<torch::Tensor> of_losses(const std::vector<torch::Tensor>& of_tasks) const;

  BevFusion tower_;
  RunConfig config_;  ///< its model has the tower's parts
  std::vector<std::string> tasks_;
  std::vector<double> weights_;
  Distiller distiller_;
  std::vector<double> taught_, twin_losses_;
  bool keeps_ = false;
  TeacherAnswer answer_;
  std::vector<torch::Tensor> parameters_;  ///< with the adapters'
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
  GatePlan gates_;  ///< where branches are gated
  std::optional<fuller::Calibration> calibration_;
  torch::Device device_;
  fuller::GradScaler scaler_;
  std::int64_t skipped_ = 0;
  bool divided_;  ///< other ranks have the rest of each batch
};

}  // namespace bevfusion
