// SPDX-License-Identifier: Apache-2.0
#pragma once

// Small shared networks, as a user would write them: a trunk, one or several levels after it, a head per task.

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

namespace fuller::testing {

using torch::Tensor;
using Tensors = std::vector<torch::Tensor>;

/// A leaf of doubles that requires a gradient, drawn from the normal distribution.
inline Tensor random_parameter(at::IntArrayRef shape) { return torch::randn(shape, torch::kDouble).requires_grad_(); }

inline std::vector<std::string> task_names(int count) {
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) {
    names.push_back("t" + std::to_string(i));
  }
  return names;
}

inline void clear(const Tensors& parameters) {
  for (const Tensor& parameter : parameters) {
    parameter.mutable_grad() = Tensor();
  }
}

/// Copies of the gradients; zeros where there is none.
inline Tensors gradients_of(const Tensors& parameters) {
  Tensors gradients;
  for (const Tensor& parameter : parameters) {
    gradients.push_back(parameter.grad().defined() ? parameter.grad().detach().clone() : torch::zeros_like(parameter));
  }
  return gradients;
}

inline Tensors copies_of(const Tensors& tensors) {
  Tensors copies;
  for (const Tensor& tensor : tensors) {
    copies.push_back(tensor.detach().clone());
  }
  return copies;
}

inline void append(Tensors& list, const Tensors& more) { list.insert(list.end(), more.begin(), more.end()); }

/// The largest |a - b| / |b| over the tensors; infinite where one has a NaN, or differs from a b of zeros.
inline double difference(const Tensors& a, const Tensors& b) {
  if (a.size() != b.size()) {
    return INFINITY;
  }
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const Tensor x = a[i].detach().to(torch::kDouble).to_dense();
    const Tensor y = b[i].detach().to(torch::kDouble).to_dense();
    const double off = (x - y).norm().item<double>();
    const double size = y.norm().item<double>();
    if (off != 0) {
      const double relative = off / size;
      largest = std::isnan(relative) ? INFINITY : std::max(largest, relative);
    }
  }
  return largest;
}

inline bool equal(const Tensors& a, const Tensors& b) {
  bool same = a.size() == b.size();
  for (std::size_t i = 0; same && i < a.size(); ++i) {
    same = a[i].equal(b[i]);
  }
  return same;
}

inline bool all_finite(const Tensors& tensors) {
  bool finite = true;
  for (const Tensor& tensor : tensors) {
    finite = finite && (!tensor.defined() || torch::isfinite(tensor).all().item<bool>());
  }
  return finite;
}

struct Network {
  torch::nn::Sequential trunk{nullptr};
  std::vector<torch::nn::Sequential> levels;              ///< each reads the trunk; none: the trunk's output is the one level
  std::vector<std::vector<torch::nn::Sequential>> heads;  ///< of each task, one for each level
  std::vector<std::int64_t> input_shape;
  Tensors last;  ///< the weights of the last shared layers

  int tasks() const { return static_cast<int>(heads.size()); }

  Tensor input(int seed) const {
    torch::manual_seed(static_cast<std::uint64_t>(seed));
    return torch::randn(input_shape, trunk->parameters().front().options().requires_grad(false));
  }

  Tensors features(const Tensor& x) {
    const Tensor shared = trunk->forward(x);
    if (levels.empty()) {
      return {shared};
    }
    Tensors all;
    for (auto& level : levels) {
      all.push_back(level->forward(shared));
    }
    return all;
  }

  /// The losses lie powers of 3 apart, as those of different kinds do.
  Tensor loss(int task, const Tensors& z) {
    Tensor sum;
    for (std::size_t k = 0; k < z.size(); ++k) {
      const Tensor term = (heads[static_cast<std::size_t>(task)][k]->forward(z[k]) - 0.3 * task).pow(2).mean();
      sum = sum.defined() ? sum + term : term;
    }
    return sum * std::pow(3.0, task);
  }

  Tensors shared_parameters() const {
    Tensors all = trunk->parameters();
    for (const auto& level : levels) {
      append(all, level->parameters());
    }
    return all;
  }
  Tensors head_parameters(int task) const {
    Tensors all;
    for (const auto& head : heads[static_cast<std::size_t>(task)]) {
      append(all, head->parameters());
    }
    return all;
  }
  /// The shared ones first, then head by head.
  Tensors parameters() const {
    Tensors all = shared_parameters();
    for (int i = 0; i < tasks(); ++i) {
      append(all, head_parameters(i));
    }
    return all;
  }
  Tensors all_heads() const {
    Tensors all;
    for (int i = 0; i < tasks(); ++i) {
      append(all, head_parameters(i));
    }
    return all;
  }

  void to(torch::Dtype dtype) {
    trunk->to(dtype);
    for (auto& level : levels) {
      level->to(dtype);
    }
    for (auto& of_task : heads) {
      for (auto& head : of_task) {
        head->to(dtype);
      }
    }
  }
};

inline Network conv_network(int tasks, torch::Dtype dtype = torch::kDouble) {
  using namespace torch::nn;
  torch::manual_seed(3);
  Network net;
  net.trunk = Sequential(Conv2d(3, 6, 3), Tanh(), Conv2d(6, 6, 3));
  net.input_shape = {3, 3, 8, 8};
  for (int i = 0; i < tasks; ++i) {
    net.heads.push_back({Sequential(Conv2d(6, 4, 1), Tanh(), Conv2d(4, 1, 1))});
  }
  net.to(dtype);
  net.last = {net.trunk->parameters()[2]};
  return net;
}

inline Network linear_network(int tasks, torch::Dtype dtype = torch::kDouble, std::int64_t batch = 24) {
  using namespace torch::nn;
  torch::manual_seed(5);
  Network net;
  net.trunk = Sequential(Linear(6, 12), Tanh(), Linear(12, 10));
  net.input_shape = {batch, 6};
  for (int i = 0; i < tasks; ++i) {
    net.heads.push_back({Sequential(Linear(10, 5), Tanh(), Linear(5, 1))});
  }
  net.to(dtype);
  net.last = {net.trunk->parameters()[2]};
  return net;
}

/// Linear layers on sequences: three dimensions.
inline Network sequence_network(int tasks, torch::Dtype dtype = torch::kDouble) {
  Network net = linear_network(tasks, dtype);
  net.input_shape = {4, 5, 6};
  return net;
}

/// A wide linear layer on a small batch, where the Gram matrix is cheaper without the weight gradients.
inline Network wide_network(int tasks, torch::Dtype dtype = torch::kDouble) {
  using namespace torch::nn;
  torch::manual_seed(7);
  Network net;
  net.trunk = Sequential(Linear(6, 48), Tanh(), Linear(48, 64), ReLU());
  net.input_shape = {4, 6};
  for (int i = 0; i < tasks; ++i) {
    net.heads.push_back({Sequential(Linear(64, 3), Tanh(), Linear(3, 1))});
  }
  net.to(dtype);
  net.last = {net.trunk->parameters()[2]};
  return net;
}

/// Two levels of different size after one trunk.
inline Network pyramid_network(int tasks, torch::Dtype dtype = torch::kDouble) {
  using namespace torch::nn;
  torch::manual_seed(9);
  Network net;
  net.trunk = Sequential(Conv2d(3, 6, 3), Tanh());
  net.levels = {Sequential(Conv2d(6, 5, 3)), Sequential(Conv2d(Conv2dOptions(6, 7, 3).stride(2)))};
  net.input_shape = {2, 3, 9, 9};
  for (int i = 0; i < tasks; ++i) {
    net.heads.push_back({Sequential(Conv2d(5, 3, 1), Tanh(), Conv2d(3, 1, 1)), Sequential(Conv2d(7, 1, 1), Tanh())});
  }
  net.to(dtype);
  net.last = {net.levels[0]->parameters()[0], net.levels[1]->parameters()[0]};
  return net;
}

}  // namespace fuller::testing
