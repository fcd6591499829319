// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <torch/torch.h>

namespace example {

/// Two convolutions of 3 x 3 with batch normalisation, and the way around them.
struct BasicBlockImpl : torch::nn::Module {
  BasicBlockImpl(std::int64_t in, std::int64_t out, std::int64_t stride)
      : conv1(register_module("conv1",
                              torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).stride(stride).padding(1).bias(false)))),
        bn1(register_module("bn1", torch::nn::BatchNorm2d(out))),
        conv2(register_module("conv2", torch::nn::Conv2d(torch::nn::Conv2dOptions(out, out, 3).padding(1).bias(false)))),
        bn2(register_module("bn2", torch::nn::BatchNorm2d(out))) {
    if (stride != 1 || in != out) {
      around->push_back(torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 1).stride(stride).bias(false)));
      around->push_back(torch::nn::BatchNorm2d(out));
      register_module("around", around);
    }
  }

  torch::Tensor forward(const torch::Tensor& x) {
    const auto y = bn2(conv2(torch::relu(bn1(conv1(x)))));
    return torch::relu(y + (around->is_empty() ? x : around->forward(x)));
  }

  torch::nn::Conv2d conv1;
  torch::nn::BatchNorm2d bn1;
  torch::nn::Conv2d conv2;
  torch::nn::BatchNorm2d bn2;
  torch::nn::Sequential around;
};
TORCH_MODULE(BasicBlock);

/// The network of "Multi-task learning as multi-objective optimization" (Sener and Koltun, NeurIPS 2018) for CelebA, as in their
/// code: ResNet-18 without its first pooling, a mean over 4 x 4 pixels, and for each attribute one linear layer with two outputs.
/// At their 64 channels and pictures of 64 x 64, that layer sees 2048 features.
struct AttributeNetImpl : torch::nn::Module {
  AttributeNetImpl(std::size_t attributes, std::int64_t planes, std::int64_t side, std::int64_t width) {
    trunk_->push_back(torch::nn::Conv2d(torch::nn::Conv2dOptions(planes, width, 3).padding(1).bias(false)));
    trunk_->push_back(torch::nn::BatchNorm2d(width));
    trunk_->push_back(torch::nn::ReLU());
    std::int64_t channels = width;
    for (std::int64_t stage = 0; stage < 4; ++stage) {
      const std::int64_t out = width << stage;
      trunk_->push_back(BasicBlock(channels, out, stage == 0 ? 1 : 2));
      trunk_->push_back(BasicBlock(out, out, 1));
      channels = out;
    }
    trunk_->push_back(torch::nn::AvgPool2d(4));
    trunk_->push_back(torch::nn::Flatten());
    register_module("trunk", trunk_);
    for (std::size_t a = 0; a < attributes; ++a) {
      heads_.push_back(register_module("head" + std::to_string(a), torch::nn::Linear(channels * (side / 32) * (side / 32), 2)));
    }
  }

  /// N x C x H x W, 0 to 1, to N features each.
  torch::Tensor trunk(const torch::Tensor& images) { return trunk_->forward(images); }
  /// Two numbers a row: no and yes, as logarithms of probabilities.
  torch::Tensor head(std::size_t attribute, const torch::Tensor& z) { return torch::log_softmax(heads_[attribute](z), 1); }

 private:
  torch::nn::Sequential trunk_;
  std::vector<torch::nn::Linear> heads_;
};
TORCH_MODULE(AttributeNet);

}  // namespace example
