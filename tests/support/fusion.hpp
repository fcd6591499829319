// SPDX-License-Identifier: Apache-2.0
#pragma once

// Small networks of several modalities, and the gates they must get.

#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "support/networks.hpp"

namespace fuller::testing {

enum class FusionKind { conv2d, conv3d, linear, sequence };

/// M branches, read by one fusion layer along their channels, or by one layer each whose outputs are added; then two tasks.
struct Fusion {
  std::vector<torch::nn::Sequential> branches;
  std::vector<torch::nn::Sequential> readers;  ///< one, or one for each branch
  torch::nn::Sequential trunk{nullptr};
  std::vector<torch::nn::Sequential> heads;
  Tensors inputs;
  std::vector<std::int64_t> widths;
  std::int64_t channels = 1;  ///< which dimension they are

  /// Features as far apart in size as those of lidar and camera.
  Tensors features() {
    Tensors all;
    for (std::size_t m = 0; m < branches.size(); ++m) {
      all.push_back(branches[m]->forward(inputs[m]) * std::pow(3.0, static_cast<double>(m)));
    }
    return all;
  }
  Tensor fuse(const Tensors& of_branches) {
    if (readers.size() == 1) {
      return readers[0]->forward(torch::cat(of_branches, channels));
    }
    Tensor sum;
    for (std::size_t m = 0; m < of_branches.size(); ++m) {
      if (of_branches[m].defined()) {
        const Tensor read = readers[m]->forward(of_branches[m]);
        sum = sum.defined() ? sum + read : read;
      }
    }
    return sum;
  }
  Tensor shared(const Tensor& fused) { return trunk->forward(torch::tanh(fused)); }
  Tensor loss(int task, const Tensor& z) {
    return (heads[static_cast<std::size_t>(task)]->forward(z) - 0.4 * task).pow(2).mean() * std::pow(4.0, task);
  }

  Tensors weights() const {
    Tensors all;
    for (const auto& reader : readers) {
      all.push_back(reader->parameters().front());
    }
    return all;
  }
  std::vector<Tensors> branch_parameters() const {
    std::vector<Tensors> all;
    for (const auto& branch : branches) {
      all.push_back(branch->parameters());
    }
    return all;
  }
  Tensors readers_and_trunk() const {
    Tensors all;
    for (const auto& reader : readers) {
      append(all, reader->parameters());
    }
    append(all, trunk->parameters());
    return all;
  }
  /// Branch by branch, then fusion and trunk, then head by head.
  Tensors parameters() const {
    Tensors all;
    for (const auto& branch : branches) {
      append(all, branch->parameters());
    }
    append(all, readers_and_trunk());
    for (const auto& head : heads) {
      append(all, head->parameters());
    }
    return all;
  }
};

inline Fusion make_fusion(FusionKind kind, int modalities, bool bias, bool separate) {
  using namespace torch::nn;
  torch::manual_seed(17);
  Fusion net;
  const auto layer = [&](std::int64_t in, std::int64_t out, bool with_bias) {
    Sequential one;
    switch (kind) {
      case FusionKind::conv2d:
        one->push_back(Conv2d(Conv2dOptions(in, out, 3).padding(1).bias(with_bias)));
        break;
      case FusionKind::conv3d:
        one->push_back(Conv3d(Conv3dOptions(in, out, 3).padding(1).bias(with_bias)));
        break;
      default:
        one->push_back(Linear(LinearOptions(in, out).bias(with_bias)));
    }
    one->to(torch::kDouble);
    return one;
  };
  std::int64_t sum = 0;
  for (int m = 0; m < modalities; ++m) {
    net.widths.push_back(3 + 2 * m);
    sum += net.widths.back();
    net.branches.push_back(layer(2 + m, net.widths.back(), true));
    const std::int64_t in = 2 + m;
    net.inputs.push_back(torch::randn(kind == FusionKind::conv2d     ? std::vector<std::int64_t>{2, in, 5, 5}
                                      : kind == FusionKind::conv3d   ? std::vector<std::int64_t>{1, in, 3, 4, 4}
                                      : kind == FusionKind::sequence ? std::vector<std::int64_t>{2, 4, in}
                                                                     : std::vector<std::int64_t>{6, in},
                                      torch::kDouble));
    if (separate) {
      net.readers.push_back(layer(net.widths.back(), 6, bias));
    }
  }
  if (!separate) {
    net.readers.push_back(layer(sum, 6, bias));
  }
  net.channels = kind == FusionKind::sequence ? 2 : 1;
  net.trunk = layer(6, 5, true);
  for (int i = 0; i < 2; ++i) {
    net.heads.push_back(layer(5, 2, true));
  }
  return net;
}

/// FULLER Eq. 5-8 with alpha 0.1 and momentum 0.2, written out; norms of 0 take no part.
inline std::vector<double> expected_gates(const std::vector<double>& norms, std::vector<double>& state) {
  std::vector<double> scales(norms.size(), 1.0);
  double sum = 0;
  int compared = 0;
  for (const double norm : norms) {
    sum += norm;
    compared += norm > 0 ? 1 : 0;
  }
  for (std::size_t m = 0; m < norms.size(); ++m) {
    if (norms[m] > 0 && compared > 1) {
      const double ratio = norms[m] / ((sum - norms[m]) / (compared - 1));
      state[m] = 0.2 * state[m] + 0.8 * (ratio > 1 ? 1 - std::tanh(0.1 * ratio) : 1.0);
      scales[m] = state[m];
    }
  }
  return scales;
}

/// The norms of each branch's part of the fusion weights' gradients.
inline std::vector<double> branch_norms(const Fusion& net, const Tensors& weight_gradients) {
  std::vector<double> norms;
  std::int64_t from = 0;
  for (std::size_t m = 0; m < net.branches.size(); ++m) {
    const bool separate = weight_gradients.size() > 1;
    const Tensor part = separate ? weight_gradients[m] : weight_gradients[0].narrow(1, from, net.widths[m]);
    norms.push_back(part.norm().item<double>());
    from += net.widths[m];
  }
  return norms;
}

/// A checkpoint of a function of several tensors.
struct CheckpointOf : torch::autograd::Function<CheckpointOf> {
  using Segment = std::function<Tensor(const Tensors&)>;
  static Tensor forward(torch::autograd::AutogradContext* context, at::TensorList inputs, Segment* segment) {
    context->save_for_backward(inputs.vec());
    context->saved_data["segment"] = reinterpret_cast<std::int64_t>(segment);
    return (*segment)(inputs.vec());
  }
  static Tensors backward(torch::autograd::AutogradContext* context, const Tensors& gradients) {
    const auto& segment = *reinterpret_cast<Segment*>(context->saved_data["segment"].toInt());
    Tensors inputs;
    for (const Tensor& saved : context->get_saved_variables()) {
      inputs.push_back(saved.detach().requires_grad_());
    }
    const torch::AutoGradMode on(true);
    torch::autograd::backward({segment(inputs)}, {gradients[0]});
    Tensors back;
    for (const Tensor& input : inputs) {
      back.push_back(input.grad());
    }
    back.emplace_back();
    return back;
  }
};

}  // namespace fuller::testing
