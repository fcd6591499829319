// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn.h>
#include <torch/serialize/archive.h>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/distillation/teacher.hpp"
#include "bevfusion/distillation/twin_head.hpp"
#include "bevfusion/model/network.hpp"

namespace bevfusion {

/// Who teaches a tower: networks beside it, and second heads on its own shared representation.
struct Teaching {
  Teachers teachers;  ///< of any tasks; those of the tower's teach
  TwinHeads twins;    ///< of the tower's tasks, each without another teacher
};

/// What teachers add to the losses of a tower's tasks: that the head say what the teacher's says, and that the shared
/// representation hold what the teacher's holds, through a 1 x 1 convolution of the task's own (an adapter); of a twin head, its
/// loss and what is between both heads. Adapters and twin heads are trained with the tower and are no part of the network.
class Distiller {
 public:
  Distiller(const BevFusion& tower, const RunConfig& config, const Teaching& teaching);

  bool teaches() const { return !lessons_.empty() || !twins_.empty(); }

  /// What twin heads say of a batch, of the tasks that it has outputs of. What goes into the shared representation goes into that
  /// of the task.
  /// @param outputs  of the heads
  /// @param shared   the shared representation for each task of the tower, or one for all
  Outputs twin_outputs(const Outputs& outputs, const std::vector<torch::Tensor>& shared, const ModelInput& input,
                       const TrainingBatch& batch) const;
  /// Their losses by labels, for each of the tower's tasks; undefined where there is none.
  std::vector<torch::Tensor> twin_losses(const Outputs& twins, const TrainingBatch& batch) const;

  /// The term of each of the tower's tasks, weighted and with the epoch's ramp; undefined where the task has no teacher or no
  /// output.
  /// @param twins  of twin_outputs()
  /// @param input  on the run's device, with every sensor, whatever the batch is learnt from without
  std::vector<torch::Tensor> terms(const Outputs& outputs, const Outputs& twins, const std::vector<torch::Tensor>& shared,
                                   const ModelInput& input, const TrainingBatch& batch);

  /// Of adapters and twin heads.
  std::vector<torch::Tensor> parameters() const;

  void save(torch::serialize::OutputArchive& archive) const;
  /// @throws std::runtime_error for other teachers than those that were saved
  void load(torch::serialize::InputArchive& archive);

  std::size_t cached_bytes() const { return cached_bytes_; }

 private:
  struct Lesson {
    std::size_t task = 0;  ///< in the tower's order
    std::shared_ptr<Teacher> teacher;
    torch::nn::Conv2d adapter{nullptr};  ///< where features are distilled
    std::map<RowIndex, TeacherAnswer> cached;
  };
  struct Twin {
    std::size_t task = 0;
    std::shared_ptr<TwinHead> head;
  };
  TeacherAnswer answer(Lesson& lesson, const ModelInput& input, const TrainingBatch& batch);
  torch::Tensor term_of(Lesson& lesson, const Outputs& outputs, const std::vector<torch::Tensor>& shared, const ModelInput& input,
                        const TrainingBatch& batch);

  RunConfig config_;
  std::vector<std::shared_ptr<const Task>> tasks_;
  std::vector<Lesson> lessons_;
  std::vector<Twin> twins_;
  std::size_t cached_bytes_ = 0;
};

}  // namespace bevfusion
