// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/distillation/twin_head.hpp"

#include <utility>

#include <torch/torch.h>

#include "bevfusion/model/part_draws.hpp"

namespace bevfusion {
namespace {

/// a + b, where both are there; else the one that is.
torch::Tensor sum_of(const torch::Tensor& a, const torch::Tensor& b) { return !a.defined() ? b : !b.defined() ? a : a + b; }

}  // namespace

TwinHead::TwinHead(const BevFusion& tower, const std::string& task, const RunConfig& config, const Kinds& kinds)
    : task_(kinds.tasks.at(task)), config_(config), labels_(kinds.labels), known_(kinds.tasks) {
  tower->head(task);
  begin_draws({config.training.seed}, task + " twin");
  head_ = task_->make_head(tower->config(), kinds, tower->shared_channels());
  head_->to(torch::Device(config.training.device));
}

std::any TwinHead::say(const torch::Tensor& shared, const ModelInput& input, const TrainingBatch& batch) const {
  begin_draws({batch.draws}, task() + " twin");
  return task_->forward_measured(*head_, shared, input.measured_for(task()), config_.model, labels_);
}

torch::Tensor TwinHead::loss(const std::any& said, const TrainingBatch& batch) const {
  torch::Tensor sum;
  for (const torch::Tensor& one : known_.losses(*task_, *head_, said, batch, config_)) {
    sum = sum_of(sum, one);
  }
  return sum;
}

torch::Tensor TwinHead::distance(const std::any& of_head, const std::any& of_twin) const {
  const DistillationConfig& weights = config_.distillation;
  torch::Tensor sum;
  if (weights.response > 0) {
    const torch::Tensor both = sum_of(task_->response(of_head, of_twin, config_), task_->response(of_twin, of_head, config_));
    sum = both.defined() ? weights.response * both : both;
  }
  const torch::Tensor state = weights.features > 0 ? task_->state(of_head) : torch::Tensor();
  if (state.defined()) {
    sum = sum_of(sum, weights.features * (state - task_->state(of_twin)).square().sum(1).mean());
  }
  return sum;
}

TwinHeads make_twin_heads(const BevFusion& tower, const RunConfig& config, const Kinds& kinds) {
  TwinHeads heads;
  if (config.distillation.twins_share == "trunk") {
    for (const std::string& task : names_in(config.distillation.twins)) {
      heads.push_back(std::make_shared<TwinHead>(tower, task, config, kinds));
    }
  }
  return heads;
}

}  // namespace bevfusion
