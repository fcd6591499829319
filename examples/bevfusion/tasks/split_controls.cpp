// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/split_controls.hpp"

#include <torch/torch.h>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/model/kinds.hpp"
#include "bevfusion/tasks/control_losses.hpp"

namespace bevfusion {

void register_split_controls(Kinds& kinds) {
  LossSplit split;
  split.sheet = split_controls_sheet();
  split.losses = [](torch::nn::Module&, const std::any& said, const TrainingBatch& batch, const RunConfig&) {
    return control_losses(std::any_cast<const ControlChain&>(said), batch);
  };
  kinds.tasks.add(split);
}

}  // namespace bevfusion
