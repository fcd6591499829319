// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include <torch/torch.h>

#include "step/network.hpp"

// Calibration as it is usually written, in plain LibTorch: one backward for each task. Nothing of fuller's.

namespace bench::naive {

inline Tensor gram(const std::vector<Tensor>& flat_gradients) {
  const Tensor rows = torch::stack(flat_gradients).to(torch::kDouble);
  return rows.mm(rows.t());
}

/// IMTL-G: weights that make the projections of sum_i w_i g_i on all unit task gradients equal, sum 1.
inline std::vector<double> imtl_g(const Tensor& gram_matrix) {
  const Tensor norms = gram_matrix.diagonal().sqrt();
  const Tensor cosines = gram_matrix / norms.unsqueeze(0) / norms.unsqueeze(1);
  const Tensor raw = at::linalg_solve(cosines, torch::ones_like(norms)) / norms;
  const Tensor weights = (raw / raw.sum()).contiguous();
  return {weights.data_ptr<double>(), weights.data_ptr<double>() + weights.numel()};
}

inline std::vector<Tensor> losses_of(Network& net, const Tensor& z) {
  std::vector<Tensor> losses;
  for (std::size_t i = 0; i < net.heads.size(); ++i) {
    losses.push_back(net.loss(i, z));
  }
  return losses;
}

/// The step without calibration: the backward of the summed losses.
inline void plain_backward(const std::vector<Tensor>& losses) {
  Tensor total = losses[0];
  for (std::size_t i = 1; i < losses.size(); ++i) {
    total = total + losses[i];
  }
  total.backward();
}

/// The last layer's gradient of each task, then a backward of the weighted sum: each head is passed twice.
inline void last_layer_step(Network& net) {
  const std::vector<Tensor> losses = losses_of(net, net.shared());
  std::vector<Tensor> gradients;
  for (const Tensor& loss : losses) {
    gradients.push_back(torch::autograd::grad({loss}, {net.last_weight}, {}, /*retain_graph=*/true)[0].flatten());
  }
  const std::vector<double> weights = imtl_g(gram(gradients));
  Tensor total = losses[0] * weights[0];
  for (std::size_t i = 1; i < losses.size(); ++i) {
    total = total + losses[i] * weights[i];
  }
  total.backward();
}

/// Algorithm 1 of FULLER: last_layer_step(), then each branch's gradients multiplied by its gate. `gates` is kept from step to
/// step: w <- momentum w + (1 - momentum) target.
inline void algorithm_1_step(Network& net, std::vector<double>& gates) {
  last_layer_step(net);
  const torch::NoGradGuard no_grad;
  const Tensor gradient = net.fusion->weight.grad();
  const std::int64_t first = net.branches[0]->parameters().back().size(0);
  const double norms[2] = {gradient.slice(1, 0, first).norm().item<double>(), gradient.slice(1, first).norm().item<double>()};
  for (std::size_t m = 0; m < 2; ++m) {
    const double ratio = norms[m] / norms[1 - m];
    const double target = ratio > 1 ? 1 - std::tanh(0.1 * ratio) : 1.0;
    gates[m] = 0.2 * gates[m] + 0.8 * target;
    for (const Tensor& parameter : net.branches[m]->parameters()) {
      parameter.mutable_grad().mul_(gates[m]);
    }
  }
}

/// PCGrad (Yu et al. 2020, Algorithm 1) on the gradients of all shared parameters: one trunk pass for each task.
inline void pcgrad_step(Network& net, std::mt19937& generator) {
  const std::vector<Tensor> losses = losses_of(net, net.shared());
  const std::vector<Tensor> shared = net.shared_parameters();
  const std::size_t tasks = losses.size();
  std::vector<Tensor> flat;
  for (std::size_t i = 0; i < tasks; ++i) {
    std::vector<Tensor> wanted = shared;
    const std::vector<Tensor> head = net.heads[i]->parameters();
    wanted.insert(wanted.end(), head.begin(), head.end());
    const std::vector<Tensor> gradients = torch::autograd::grad({losses[i]}, wanted, {}, /*retain_graph=*/i + 1 < tasks);
    std::vector<Tensor> parts;
    for (std::size_t k = 0; k < shared.size(); ++k) {
      parts.push_back(gradients[k].flatten());
    }
    flat.push_back(torch::cat(parts));
    for (std::size_t k = 0; k < head.size(); ++k) {
      head[k].mutable_grad() = gradients[shared.size() + k];
    }
  }
  const torch::NoGradGuard no_grad;
  Tensor sum = torch::zeros_like(flat[0]);
  std::vector<std::size_t> order(tasks);
  for (std::size_t i = 0; i < tasks; ++i) {
    Tensor projected = flat[i].clone();
    for (std::size_t k = 0; k < tasks; ++k) {
      order[k] = k;
    }
    std::shuffle(order.begin(), order.end(), generator);
    for (const std::size_t j : order) {
      const double dot = j == i ? 0.0 : projected.dot(flat[j]).item<double>();
      if (dot < 0) {
        projected.sub_(flat[j], dot / flat[j].dot(flat[j]).item<double>());
      }
    }
    sum.add_(projected);
  }
  std::int64_t at = 0;
  for (const Tensor& parameter : shared) {
    parameter.mutable_grad() = sum.slice(0, at, at + parameter.numel()).view_as(parameter);
    at += parameter.numel();
  }
}

}  // namespace bench::naive
