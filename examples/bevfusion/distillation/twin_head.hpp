// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <any>
#include <memory>
#include <string>
#include <vector>

#include <torch/nn.h>

#include "bevfusion/model/bev_fusion.hpp"

namespace bevfusion {

/// A second head of a task on the run's own shared representation, trained with it: a twin as DMFuser's repository has it.
///
/// It learns its task from the labels; its loss is added to the task's, so the trunk learns from both heads. What is between the
/// two heads draws both: neither side of a distance is a constant, as in the repository. Its weights start from other random
/// numbers than the task's head, which would be the same head else.
class TwinHead {
 public:
  /// @param kinds  the tasks that the tower was made of
  /// @throws std::invalid_argument where the tower has not the task
  TwinHead(const BevFusion& tower, const std::string& task, const RunConfig& config, const Kinds& kinds);

  const std::string& task() const { return task_->name(); }
  torch::nn::Module& module() const { return *head_; }

  /// What it says of the shared representation, [B, C, X, Y].
  std::any say(const torch::Tensor& shared, const ModelInput& input, const TrainingBatch& batch) const;
  /// Its loss by labels: the sum of the task's; undefined where the batch has none.
  torch::Tensor loss(const std::any& said, const TrainingBatch& batch) const;
  /// response * (r(head, twin) + r(twin, head)) + features * |h - h'|^2, by the weights of the config: r is Task::response(),
  /// whose second is a constant, h and h' are Task::state() of both, the square summed over its numbers, the mean over samples.
  /// Undefined where there is nothing of it.
  torch::Tensor distance(const std::any& of_head, const std::any& of_twin) const;

 private:
  std::shared_ptr<const Task> task_;
  std::shared_ptr<torch::nn::Module> head_;
  RunConfig config_;
  LabelSets labels_;
  Tasks known_;
};

using TwinHeads = std::vector<std::shared_ptr<TwinHead>>;

/// The twin heads that a run asks for (distillation.twins, where twins_share is trunk).
TwinHeads make_twin_heads(const BevFusion& tower, const RunConfig& config, const Kinds& kinds);

}  // namespace bevfusion
