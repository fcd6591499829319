// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include <torch/torch.h>

#include "step/network.hpp"

// What any calibration has to do whose weights are known only when all heads are through, in plain LibTorch and nothing else: no
// Gram matrix, no rule, no checks. Nothing of fuller's.

namespace bench {

/// The shared representation once for each task; its gradient is the sum of theirs, taken when all of them are there.
struct HeldCotangents : torch::autograd::Function<HeldCotangents> {
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* /*context*/, const Tensor& z,
                                                std::int64_t tasks) {
    return torch::autograd::variable_list(static_cast<std::size_t>(tasks), z);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* /*context*/,
                                                 torch::autograd::variable_list cotangents) {
    Tensor sum = cotangents[0] + cotangents[1];
    for (std::size_t i = 2; i < cotangents.size(); ++i) {
      sum.add_(cotangents[i]);
    }
    return {sum, Tensor()};
  }
};

/// The plain step, but for T cotangents that are held until the last is there.
inline void held_step(Network& net) {
  const std::vector<Tensor> z = HeldCotangents::apply(net.shared(), static_cast<std::int64_t>(net.heads.size()));
  Tensor total = net.loss(0, z[0]);
  for (std::size_t i = 1; i < z.size(); ++i) {
    total = total + net.loss(i, z[i]);
  }
  total.backward();
}

/// held_step(), and each gradient of a head multiplied by a number when the backward is through.
inline void held_step_with_heads(Network& net) {
  held_step(net);
  const torch::NoGradGuard no_grad;
  for (const auto& head : net.heads) {
    for (const Tensor& parameter : head->parameters()) {
      parameter.grad().mul_(0.5);
    }
  }
}

}  // namespace bench
