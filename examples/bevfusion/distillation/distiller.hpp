// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn.h>
#include <torch/serialize/archive.h>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/distillation/expert.hpp"
#include "bevfusion/model/bev_fusion.hpp"

namespace bevfusion {

/// What frozen experts add to the losses of a tower's tasks: that the head say what the expert's says, and that the shared
/// representation hold what the expert's holds, through a 1 x 1 convolution of the task's own (an adapter). Adapters are trained
/// with the tower and are no part of the network.
class Distiller {
 public:
  /// @param experts  of any tasks; those of the tower's teach
  Distiller(const BevFusion& tower, const RunConfig& config, const Experts& experts);

  bool teaches() const { return !lessons_.empty(); }

  /// The term of each of the tower's tasks, weighted and with the epoch's ramp; undefined where the task has no teacher or no
  /// output. What goes into the shared representation goes into that of the task.
  /// @param outputs  of the heads
  /// @param shared   the shared representation for each task of the tower, or one for all
  /// @param input    on the run's device, with every sensor, whatever the batch is learnt from without
  std::vector<torch::Tensor> terms(const BevFusion& tower, const Outputs& outputs, const std::vector<torch::Tensor>& shared,
                                   const ModelInput& input, const TrainingBatch& batch);

  /// Of the adapters.
  std::vector<torch::Tensor> parameters() const;

  void save(torch::serialize::OutputArchive& archive) const;
  /// @throws std::runtime_error for other teachers than those that were saved
  void load(torch::serialize::InputArchive& archive);

  std::size_t cached_bytes() const { return cached_bytes_; }

 private:
  struct Lesson {
    std::size_t task = 0;  ///< in the tower's order
    std::shared_ptr<Expert> expert;
    torch::nn::Conv2d adapter{nullptr};  ///< where features are distilled
    std::map<RowIndex, ExpertAnswer> cached;
  };
  ExpertAnswer answer(Lesson& lesson, const Task& task, const ModelInput& input, const TrainingBatch& batch);

  RunConfig config_;
  std::vector<Lesson> lessons_;
  std::size_t cached_bytes_ = 0;
};

}  // namespace bevfusion
