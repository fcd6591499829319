// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/waypoints.hpp"

#include <torch/torch.h>

#include "bevfusion/heads/waypoint_head.hpp"
#include "bevfusion/model/kinds.hpp"
#include "bevfusion/tasks/waypoint_task.hpp"

namespace bevfusion {
namespace {

class WaypointsTask : public WaypointTask {
 public:
  WaypointsTask() : WaypointTask(waypoints_sheet()) {}

  std::shared_ptr<torch::nn::Module> make_head(const ModelConfig& config, const Kinds&, std::int64_t channels) const override {
    return std::make_shared<WaypointHeadImpl>(head_options(config, channels));
  }
  std::any forward_measured(torch::nn::Module& head, const torch::Tensor& shared, const torch::Tensor& measured,
                            const ModelConfig&, const LabelSets&) const override {
    return head_as<WaypointHeadImpl>(head).forward(shared, measured).waypoints;
  }
  std::vector<torch::Tensor> losses(torch::nn::Module&, const std::any& said, const TrainingBatch& batch,
                                    const RunConfig&) const override {
    return {distance_of_labelled(std::any_cast<const torch::Tensor&>(said), batch)};
  }
  torch::Tensor response(const std::any& said, const std::any& expert, const RunConfig&) const override {
    return (std::any_cast<const torch::Tensor&>(said) - std::any_cast<const torch::Tensor&>(expert).detach()).abs().mean();
  }
  std::any prediction(const std::any& said, std::int64_t b, const Batch& batch, const RunConfig&, bool& finite) const override {
    return predicted(std::any_cast<const torch::Tensor&>(said)[b], b, batch, finite);
  }
  std::unique_ptr<TaskFigures> figures(const Tables& tables, const RunConfig& config) const override {
    return std::make_unique<WaypointFigures>(sheet(), tables, config);
  }
};

}  // namespace

void register_waypoints(Kinds& kinds) { kinds.tasks.add(std::make_shared<WaypointsTask>()); }

}  // namespace bevfusion
