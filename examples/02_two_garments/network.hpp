// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/torch.h>

namespace example {

/// The LeNet of the MultiMNIST literature: two convolutions and one linear layer that both tasks share, and one linear layer
/// each.
struct TwoTaskNetImpl : torch::nn::Module {
  torch::nn::Conv2d conv1{register_module("conv1", torch::nn::Conv2d(1, 10, 9))};
  torch::nn::Conv2d conv2{register_module("conv2", torch::nn::Conv2d(10, 20, 5))};
  torch::nn::Linear shared{register_module("shared", torch::nn::Linear(20 * 5 * 5, 50))};
  torch::nn::Linear left{register_module("left", torch::nn::Linear(50, 10))};
  torch::nn::Linear right{register_module("right", torch::nn::Linear(50, 10))};

  /// The shared layers: N x 1 x 36 x 36 to N x 50.
  torch::Tensor trunk(torch::Tensor x) {
    x = torch::relu(torch::max_pool2d(conv1(x), 2));
    x = torch::relu(torch::max_pool2d(conv2(x), 2));
    return torch::relu(shared(x.flatten(1)));
  }
};
TORCH_MODULE(TwoTaskNet);

}  // namespace example
