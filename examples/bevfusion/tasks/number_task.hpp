// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <any>
#include <cstdint>
#include <memory>
#include <vector>

#include <torch/types.h>

#include "bevfusion/tasks/task.hpp"

namespace bevfusion {

/// One number of a sample, as it is said and as it is known.
struct NumberPrediction {
  double said = 0;  ///< 0 where an output was no number
  double known = 0;
  bool labelled = false;
};

/// A task of one number a sample, from a PooledHead over `tasks.NAME.squares` squares. What is left to the task is its label, its
/// loss and its figures.
class NumberTask : public Task {
 public:
  using Task::Task;

  void check(const RunConfig& config, const Kinds& kinds) const override;
  std::shared_ptr<torch::nn::Module> make_head(const ModelConfig& config, const Kinds& kinds,
                                               std::int64_t channels) const override;
  /// [B]
  std::any forward(torch::nn::Module& head, const torch::Tensor& shared, const ModelConfig& config,
                   const LabelSets& sets) const override;
  std::vector<torch::Tensor> losses(torch::nn::Module& head, const std::any& said, const TrainingBatch& batch,
                                    const RunConfig& config) const override;
  std::any prediction(const std::any& said, std::int64_t b, const Batch& batch, const RunConfig& config,
                      bool& finite) const override;

 protected:
  /// The mean loss of what was said of some samples and what is known of them, both [N].
  virtual torch::Tensor loss(const torch::Tensor& said, const torch::Tensor& known, const RunConfig& config) const = 0;
  /// A label as it is at a config's numbers.
  virtual torch::Tensor known(const torch::Tensor& label, const RunConfig& /*config*/) const { return label; }
  /// What the head's number stands for.
  virtual torch::Tensor meant(const torch::Tensor& output) const { return output; }
};

}  // namespace bevfusion
