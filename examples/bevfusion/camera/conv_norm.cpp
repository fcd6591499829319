// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/camera/conv_norm.hpp"

#include <torch/torch.h>

namespace bevfusion {

ConvNormImpl::ConvNormImpl(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride, std::int64_t groups) {
  conv_ = register_module(
      "conv",
      torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).groups(groups).bias(false)));
  norm_ = register_module("norm", BatchNorm(torch::nn::BatchNormOptions(out)));
  torch::nn::init::kaiming_normal_(conv_->weight, 0.0, torch::kFanOut, torch::kReLU);
}

torch::Tensor ConvNormImpl::forward(const torch::Tensor& map) { return norm_->forward(conv_->forward(map)); }

}  // namespace bevfusion
