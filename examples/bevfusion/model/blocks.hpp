// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <torch/nn.h>

#include "bevfusion/model/batch_norm.hpp"

namespace bevfusion {

/// A convolution without bias, batch normalisation, ReLU; as nearly every layer between the branches and the heads is.
struct ConvOptions {
  std::int64_t kernel = 3;
  std::int64_t stride = 1;
  double eps = 1e-5;      ///< of the normalisation
  double momentum = 0.1;  ///< share of the new batch in the running statistics
};

class ConvBlockImpl : public torch::nn::Module {
 public:
  ConvBlockImpl(std::int64_t in, std::int64_t out, const ConvOptions& options = {});
  torch::Tensor forward(const torch::Tensor& map);
  const torch::Tensor& weight() const { return conv_->weight; }

 private:
  torch::nn::Conv2d conv_{nullptr};
  BatchNorm norm_{nullptr};
};
TORCH_MODULE(ConvBlock);

/// Batch normalisation of rows [N, C] (points, sites), of which a batch may hold one or none: their statistics then mean nothing,
/// and those that were learnt serve. Where it adds up over ranks, the rows of all of them count.
torch::Tensor normalise_rows(BatchNorm& norm, const torch::Tensor& rows);

}  // namespace bevfusion
