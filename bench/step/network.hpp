// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <torch/torch.h>

namespace bench {

using at::Tensor;

/// A shared network with T heads, its inputs and targets. Nothing of fuller's: what a user brings.
struct Network {
  /// Which network, and how much of it lies in the heads.
  struct Kind {
    std::string trunk;  ///< conv, fusion, wide or narrow
    bool heavy;
    int tasks;
  };

  std::vector<torch::nn::Sequential> branches;  ///< two where modalities are fused, else none
  torch::nn::Conv2d fusion{nullptr};
  torch::nn::Sequential trunk{nullptr};  ///< all shared layers but the last
  torch::nn::AnyModule last;
  Tensor last_weight;
  std::vector<torch::nn::Sequential> heads;
  std::vector<Tensor> inputs;
  std::vector<Tensor> targets;
  std::vector<double> loudness;  ///< factors that set the losses apart, so that weights matter

  explicit Network(const Kind& kind) {
    torch::manual_seed(1);
    if (kind.trunk == "wide") {
      make_linear(kind, /*width=*/1024, /*layers=*/3, /*batch=*/64);
    } else if (kind.trunk == "narrow") {
      make_linear(kind, /*width=*/256, /*layers=*/6, /*batch=*/512);
    } else {
      make_convolutions(kind, /*fused=*/kind.trunk == "fusion");
    }
    for (int i = 0; i < kind.tasks; ++i) {
      loudness.push_back(1 + 2.0 * i);
    }
  }

  /// Parameters, inputs and targets to a device; tensors that are parameters stay those that they are.
  void to(const at::Device& device) {
    for (const std::vector<torch::nn::Sequential>* list : {&branches, &heads}) {
      for (torch::nn::Sequential part : *list) {
        part->to(device);
      }
    }
    trunk->to(device);
    last.ptr()->to(device);
    if (!fusion.is_empty()) {
      fusion->to(device);
    }
    for (std::vector<Tensor>* list : {&inputs, &targets}) {
      for (Tensor& tensor : *list) {
        tensor = tensor.to(device);
      }
    }
  }

  Tensor features() {
    if (branches.empty()) {
      return trunk->forward(inputs[0]);
    }
    return after_branches(branches[0]->forward(inputs[0]), branches[1]->forward(inputs[1]));
  }
  Tensor after_branches(const Tensor& a, const Tensor& b) {
    return trunk->forward(torch::relu(fusion->forward(torch::cat({a, b}, 1))));
  }
  Tensor shared() { return last.forward(features()); }

  Tensor loss(std::size_t task, const Tensor& z) {
    return (heads[task]->forward(z) - targets[task]).pow(2).mean() * loudness[task];
  }

  std::vector<Tensor> shared_parameters() const {
    std::vector<Tensor> all;
    for (const auto& branch : branches) {
      append(all, branch->parameters());
    }
    if (!fusion.is_empty()) {
      append(all, fusion->parameters());
    }
    append(all, trunk->parameters());
    append(all, last.ptr()->parameters());
    return all;
  }
  std::vector<Tensor> parameters() const {
    std::vector<Tensor> all = shared_parameters();
    for (const auto& head : heads) {
      append(all, head->parameters());
    }
    return all;
  }
  void drop_gradients() const {
    for (const Tensor& parameter : parameters()) {
      parameter.mutable_grad() = Tensor();
    }
  }

 private:
  static void append(std::vector<Tensor>& all, const std::vector<Tensor>& more) {
    all.insert(all.end(), more.begin(), more.end());
  }

  static torch::nn::Conv2d convolution(std::int64_t in, std::int64_t out) {
    return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).padding(1));
  }
  static torch::nn::Sequential convolutions(std::int64_t in, std::int64_t width, int count) {
    torch::nn::Sequential layers;
    for (int k = 0; k < count; ++k) {
      layers->push_back(convolution(k == 0 ? in : width, width));
      layers->push_back(torch::nn::ReLU());
    }
    return layers;
  }

  /// Eleven convolutions and the last, 32 channels on 48 x 48, two images; fused: three a branch, fusion, five, the last.
  void make_convolutions(const Kind& kind, bool fused) {
    constexpr std::int64_t width = 32, side = 48, batch = 2, classes = 4;
    if (fused) {
      branches = {convolutions(3, 12, 3), convolutions(3, 20, 3)};
      fusion = convolution(32, width);
      trunk = convolutions(width, width, 5);
      inputs = {torch::randn({batch, 3, side, side}), torch::randn({batch, 3, side, side})};
    } else {
      trunk = convolutions(3, width, 11);
      inputs = {torch::randn({batch, 3, side, side})};
    }
    torch::nn::Conv2d end = convolution(width, width);
    last_weight = end->weight;
    last = torch::nn::AnyModule(end);
    for (int i = 0; i < kind.tasks; ++i) {
      torch::nn::Sequential head = convolutions(width, width, kind.heavy ? 3 : 1);
      head->push_back(torch::nn::Conv2d(width, classes, 1));
      heads.push_back(head);
      targets.push_back(torch::randn({batch, classes, side, side}) * (i + 1));
    }
  }

  void make_linear(const Kind& kind, std::int64_t width, int layers, std::int64_t batch) {
    constexpr std::int64_t classes = 4;
    trunk = torch::nn::Sequential();
    for (int k = 1; k < layers; ++k) {
      trunk->push_back(torch::nn::Linear(width, width));
      trunk->push_back(torch::nn::ReLU());
    }
    torch::nn::Linear end(width, width);
    last_weight = end->weight;
    last = torch::nn::AnyModule(end);
    inputs = {torch::randn({batch, width})};
    const std::int64_t hidden = kind.heavy ? width / 2 : width / 16;
    for (int i = 0; i < kind.tasks; ++i) {
      torch::nn::Sequential head;
      for (int k = 0; k < (kind.heavy ? 3 : 1); ++k) {
        head->push_back(torch::nn::Linear(k == 0 ? width : hidden, hidden));
        head->push_back(torch::nn::ReLU());
      }
      head->push_back(torch::nn::Linear(hidden, classes));
      heads.push_back(head);
      targets.push_back(torch::randn({batch, classes}) * (i + 1));
    }
  }
};

}  // namespace bench
