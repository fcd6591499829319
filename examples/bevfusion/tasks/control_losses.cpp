// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/control_losses.hpp"

#include <torch/torch.h>

namespace bevfusion {

std::vector<torch::Tensor> control_losses(const ControlChain& said, const TrainingBatch& batch) {
  const auto found = batch.batch.labels.find("controls");
  std::vector<torch::Tensor> way;
  std::vector<torch::Tensor> controls;
  std::vector<torch::Tensor> labels;
  for (std::size_t b = 0; found != batch.batch.labels.end() && b < found->second.size(); ++b) {
    if (found->second[b].defined()) {
      way.push_back(said.way.waypoints[static_cast<std::int64_t>(b)]);
      controls.push_back(said.controls[static_cast<std::int64_t>(b)]);
      labels.push_back(found->second[b]);
    }
  }
  if (labels.empty()) {
    return std::vector<torch::Tensor>(4);
  }
  const torch::Tensor label = torch::stack(labels).to(said.controls.device());
  const std::int64_t count = said.way.waypoints.size(1);
  const torch::Tensor pedals = (torch::stack(controls) - label.narrow(1, count, count + 1)).abs().flatten(0, 1).mean(0);
  return {(torch::stack(way) - label.narrow(1, 0, count).narrow(2, 0, 2)).abs().mean(), pedals[0], pedals[1], pedals[2]};
}

}  // namespace bevfusion
