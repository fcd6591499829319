// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>

#include <torch/nn.h>

#include <fuller/tensor/ranks.hpp>

#include "bevfusion/model/norm_sums.hpp"

namespace bevfusion {

/// Batch norm over axis 1 of [N, C, ...]: LibTorch's, to the bit and by the names of what it holds, until it is told of ranks;
/// then, in training, by the statistics of all ranks' samples.
class BatchNormImpl : public torch::nn::Module {
 public:
  explicit BatchNormImpl(const torch::nn::BatchNormOptions& options);

  /// @param input  where it adds up over ranks: N may be 0, and if all ranks together have one value a channel, what was learnt
  /// serves
  torch::Tensor forward(const torch::Tensor& input);

  void add_up_by(std::shared_ptr<NormSums> sums, std::size_t layer);
  /// Whether statistics are those of all ranks' samples.
  bool adds_up() const { return sums_ != nullptr && !sums_->alone(); }

  const torch::nn::BatchNormOptions options;
  torch::Tensor weight, bias, running_mean, running_var, num_batches_tracked;

 private:
  torch::Tensor over_ranks(const torch::Tensor& input, double momentum);

  std::shared_ptr<NormSums> sums_;
  std::size_t layer_ = 0;
};
TORCH_MODULE(BatchNorm);

/// Has all batch norms of a network add up over ranks, in the order of their registration.
/// @param ranks  used by nothing else
/// @throws std::invalid_argument for a batch norm of LibTorch's own, which cannot
std::shared_ptr<NormSums> synchronise_batch_norm(torch::nn::Module& network, fuller::Ranks ranks);

}  // namespace bevfusion
