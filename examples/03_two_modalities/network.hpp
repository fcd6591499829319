// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/torch.h>

namespace example {

/// What one sensor's picture becomes: 12, then 24 channels, at a quarter of the resolution.
struct BranchImpl : torch::nn::Module {
  torch::nn::Conv2d conv1{register_module("conv1", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 12, 3).padding(1)))};
  torch::nn::Conv2d conv2{register_module("conv2", torch::nn::Conv2d(torch::nn::Conv2dOptions(12, 24, 3).padding(1)))};

  /// N x 1 x 28 x 14 to N x 24 x 7 x 3.
  torch::Tensor forward(torch::Tensor x) {
    x = torch::relu(torch::max_pool2d(conv1(x), 2));
    return torch::relu(torch::max_pool2d(conv2(x), 2));
  }
};
TORCH_MODULE(Branch);

/// Two branches, one fusion layer, one shared layer, two heads.
struct FusionNetImpl : torch::nn::Module {
  Branch strong{register_module("strong", Branch())};
  Branch weak{register_module("weak", Branch())};
  torch::nn::Conv2d fuse{register_module("fuse", torch::nn::Conv2d(torch::nn::Conv2dOptions(48, 32, 3).padding(1)))};
  torch::nn::Linear shared{register_module("shared", torch::nn::Linear(32 * 7 * 3, 64))};
  torch::nn::Linear garment{register_module("garment", torch::nn::Linear(64, 10))};
  torch::nn::Linear upside_down{register_module("upside_down", torch::nn::Linear(64, 2))};

  /// From the branches' features to the shared representation, N x 64.
  torch::Tensor trunk(const torch::Tensor& strong_features, const torch::Tensor& weak_features) {
    const auto fused = torch::relu(fuse(torch::cat({strong_features, weak_features}, 1)));
    return torch::relu(shared(fused.flatten(1)));
  }
};
TORCH_MODULE(FusionNet);

}  // namespace example
