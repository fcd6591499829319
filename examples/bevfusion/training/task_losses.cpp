// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/training/task_losses.hpp"

#include <stdexcept>
#include <string>

#include <torch/torch.h>

#include "bevfusion/model/part_draws.hpp"
#include "bevfusion/tasks/picture_task.hpp"

namespace bevfusion {

Outputs labelled_outputs(BevFusion& tower, const std::vector<SharedFeatures>& shared, const TrainingBatch& batch) {
  return labelled_outputs(tower, shared, batch.batch.input, batch);
}

Outputs labelled_outputs(BevFusion& tower, const std::vector<SharedFeatures>& shared, const ModelInput& input,
                         const TrainingBatch& batch) {
  Outputs outputs;
  for (std::size_t i = 0; i < tower->tasks().size(); ++i) {
    const Task& task = *tower->tasks()[i];
    const SharedFeatures& z = shared.size() == 1 ? shared.front() : shared.at(i);
    if (task.is_labelled(batch) && (as_picture_task(task) == nullptr || !z.pictures.empty())) {
      begin_draws({batch.draws}, task.name());
      outputs[task.name()] = tower->say(task.name(), z, input.measured_for(task.name()));
    }
  }
  return outputs;
}

std::vector<torch::Tensor> task_losses(const BevFusion& tower, const Outputs& outputs, const TrainingBatch& batch,
                                       const RunConfig& config) {
  std::vector<torch::Tensor> losses;
  for (const auto& task : tower->tasks()) {
    const auto said = outputs.find(task->name());
    const std::size_t count = config.model.parts.tasks.judged(task->sheet(), config.losses.tasks).loss_names().size();
    std::vector<torch::Tensor> own(count);
    if (said != outputs.end()) {
      own = tower->losses(task->name(), said->second, batch, config);
      if (own.size() != count) {
        throw std::logic_error("task " + task->name() + " has " + std::to_string(own.size()) + " losses, and its sheet names " +
                               std::to_string(count));
      }
    }
    losses.insert(losses.end(), own.begin(), own.end());
  }
  return losses;
}

}  // namespace bevfusion
