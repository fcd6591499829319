// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/fusion/second.hpp"

#include <memory>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/model/kinds.hpp"

namespace bevfusion {
namespace {

/// OpenPCDet's normalisation, as in the LiDAR branch.
ConvOptions second_options(std::int64_t kernel, std::int64_t stride) {
  ConvOptions options;
  options.kernel = kernel;
  options.stride = stride;
  options.eps = 1e-3;
  options.momentum = 0.01;
  return options;
}

torch::nn::Sequential block(std::int64_t in, std::int64_t out, std::int64_t layers, std::int64_t stride) {
  torch::nn::Sequential sequence;
  sequence->push_back(ConvBlock(in, out, second_options(3, stride)));
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    sequence->push_back(ConvBlock(out, out, second_options(3, 1)));
  }
  return sequence;
}

}  // namespace

SecondImpl::SecondImpl(SecondOptions options) : options_(std::move(options)) {
  fine_ = register_module("fine", block(options_.inputs, options_.channels[0], options_.layers, 1));
  coarse_ = register_module("coarse", block(options_.channels[0], options_.channels[1], options_.layers, 2));
  same_ = register_module("up0", ConvBlock(options_.channels[0], options_.up, second_options(1, 1)));
  deconv_ = register_module(
      "up1",
      torch::nn::ConvTranspose2d(torch::nn::ConvTranspose2dOptions(options_.channels[1], options_.up, 2).stride(2).bias(false)));
  deconv_norm_ = register_module("up1_norm", BatchNorm(torch::nn::BatchNormOptions(options_.up).eps(1e-3).momentum(0.01)));
}

torch::Tensor SecondImpl::forward(const torch::Tensor& map) {
  const torch::Tensor fine = fine_->forward(map);
  const torch::Tensor coarse = deconv_norm_->forward(deconv_->forward(coarse_->forward(fine))).relu_();
  return torch::cat({same_->forward(fine), coarse}, 1);
}

torch::Tensor SecondImpl::first_weight() const { return fine_->ptr(0)->as<ConvBlock>()->weight(); }

void register_second(Kinds& kinds) {
  kinds.bev_backbones.add("second", [](const ModelConfig& config, std::int64_t inputs) {
    SecondOptions options = config.bev;
    options.inputs = inputs;
    return std::make_shared<SecondImpl>(options);
  });
}

}  // namespace bevfusion
