// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/training/one_cycle.hpp"

namespace bevfusion {

/// The optimiser that a run asks for. SGD's momentum follows the schedule of AdamW's beta_1, as Smith's one-cycle policy has it.
inline std::unique_ptr<torch::optim::Optimizer> make_optimizer(const std::vector<torch::Tensor>& parameters,
                                                               const TrainingConfig& config) {
  if (config.optimizer == "sgd") {
    return std::make_unique<torch::optim::SGD>(
        parameters, torch::optim::SGDOptions(config.learning_rate).momentum(config.most_beta1).weight_decay(config.weight_decay));
  }
  return std::make_unique<torch::optim::AdamW>(parameters, torch::optim::AdamWOptions(config.learning_rate)
                                                               .betas({config.most_beta1, config.beta2})
                                                               .weight_decay(config.weight_decay));
}

/// Sets what its next step takes from the schedule.
inline void follow(torch::optim::Optimizer& optimizer, const ScheduledStep& schedule, const TrainingConfig& config) {
  for (torch::optim::OptimizerParamGroup& group : optimizer.param_groups()) {
    if (config.optimizer == "sgd") {
      static_cast<torch::optim::SGDOptions&>(group.options()).lr(schedule.learning_rate).momentum(schedule.beta1);
    } else {
      static_cast<torch::optim::AdamWOptions&>(group.options()).lr(schedule.learning_rate).betas({schedule.beta1, config.beta2});
    }
  }
}

}  // namespace bevfusion
