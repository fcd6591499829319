// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/model/blocks.hpp"

#include <torch/torch.h>

namespace bevfusion {

ConvBlockImpl::ConvBlockImpl(std::int64_t in, std::int64_t out, const ConvOptions& options) {
  conv_ = register_module(
      "conv",
      torch::nn::Conv2d(
          torch::nn::Conv2dOptions(in, out, options.kernel).stride(options.stride).padding(options.kernel / 2).bias(false)));
  norm_ = register_module("norm", BatchNorm(torch::nn::BatchNormOptions(out).eps(options.eps).momentum(options.momentum)));
  torch::nn::init::kaiming_normal_(conv_->weight, 0.0, torch::kFanOut, torch::kReLU);
}

torch::Tensor ConvBlockImpl::forward(const torch::Tensor& map) { return norm_->forward(conv_->forward(map)).relu_(); }

torch::Tensor normalise_rows(BatchNorm& norm, const torch::Tensor& rows) {
  if (!norm->is_training() || norm->adds_up() || rows.size(0) > 1) {
    return norm->forward(rows);
  }
  return torch::batch_norm(rows, norm->weight, norm->bias, norm->running_mean, norm->running_var, /*training=*/false, 0,
                           norm->options.eps(), /*cudnn_enabled=*/false);
}

}  // namespace bevfusion
