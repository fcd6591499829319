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
    return head_as<WaypointHeadImpl>(head).forward(shared, measured);
  }
  std::vector<torch::Tensor> losses(torch::nn::Module&, const std::any& said, const TrainingBatch& batch,
                                    const RunConfig&) const override {
    return {distance_of_labelled(way(said), batch)};
  }
  torch::Tensor response(const std::any& said, const std::any& expert, const RunConfig&) const override {
    return (way(said) - way(expert).detach()).abs().mean();
  }
  torch::Tensor state(const std::any& said) const override { return std::any_cast<const WaypointChain&>(said).state; }
  std::vector<torch::Tensor*> tensors_of(std::any& said) const override {
    auto& all = std::any_cast<WaypointChain&>(said);
    return {&all.waypoints, &all.state, &all.pooled};
  }
  std::any prediction(const std::any& said, std::int64_t b, const Batch& batch, const RunConfig&, bool& finite) const override {
    return predicted(way(said)[b], b, batch, finite);
  }
  std::unique_ptr<TaskFigures> figures(const Tables& tables, const RunConfig& config) const override {
    return std::make_unique<WaypointFigures>(sheet(), tables, config);
  }

 private:
  static const torch::Tensor& way(const std::any& said) { return std::any_cast<const WaypointChain&>(said).waypoints; }
};

}  // namespace

void register_waypoints(Kinds& kinds) { kinds.tasks.add(std::make_shared<WaypointsTask>()); }

}  // namespace bevfusion
