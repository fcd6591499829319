// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <any>
#include <cstdint>
#include <memory>
#include <vector>

#include <torch/types.h>

#include "bevfusion/heads/waypoint_head.hpp"
#include "bevfusion/tasks/task.hpp"
#include "bevfusion/tasks/waypoint_figures.hpp"

namespace bevfusion {

/// A task that plans way-points, with waypoint_numbers() among its numbers: what the car tells its head, labels from later ego
/// poses, and pictures. What is left to the task is its head.
class WaypointTask : public Task {
 public:
  using Task::Task;

  void check(const RunConfig& config, const Kinds& kinds) const override;
  /// With nothing measured.
  std::any forward(torch::nn::Module& head, const torch::Tensor& shared, const ModelConfig& config,
                   const LabelSets& sets) const override {
    return forward_measured(head, shared, {}, config, sets);
  }
  std::any forward_measured(torch::nn::Module& head, const torch::Tensor& shared, const torch::Tensor& measured,
                            const ModelConfig& config, const LabelSets& sets) const override = 0;
  torch::Tensor measured(const LabelSource& source) const override;
  /// [K, 2], m, turned and scaled as the sample is.
  torch::Tensor labels(const LabelSource& source) const override;
  void add_legend(PictureLegend& legend, const PictureContext& context) const override;
  void draw(SampleDrawing& drawing, const SamplePrediction& prediction, const PictureContext& context) const override;

 protected:
  WaypointHeadOptions head_options(const ModelConfig& config, std::int64_t channels) const;
  /// The mean absolute difference of way-points [B, K, 2] from where the labelled samples' cars drove; undefined where none is
  /// labelled.
  torch::Tensor distance_of_labelled(const torch::Tensor& waypoints, const TrainingBatch& batch) const;
  /// What is predicted for sample b, from its way-points [K, 2].
  WaypointPrediction predicted(const torch::Tensor& waypoints, std::int64_t b, const Batch& batch, bool& finite) const;
  /// What figures and pictures take of the task's prediction; nullptr where the network has no such task.
  virtual const WaypointPrediction* planned(const SamplePrediction& prediction) const;
};

}  // namespace bevfusion
