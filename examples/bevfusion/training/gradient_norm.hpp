// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include <torch/torch.h>

namespace bevfusion {

/// Norm of the gradients of all parameters together, 0 where none has one. Waits for the device.
inline double gradient_norm(const std::vector<torch::Tensor>& parameters) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> norms;
  for (const torch::Tensor& parameter : parameters) {
    if (parameter.grad().defined()) {
      norms.push_back(parameter.grad().norm().to(torch::kDouble));
    }
  }
  return norms.empty() ? 0 : torch::stack(norms).norm().item<double>();
}

/// Multiplies all gradients, in place; a factor of 1 touches nothing.
inline void scale_gradients(const std::vector<torch::Tensor>& parameters, double factor) {
  const torch::NoGradGuard no_grad;
  for (const torch::Tensor& parameter : parameters) {
    torch::Tensor gradient = parameter.grad();
    if (factor != 1 && gradient.defined()) {
      gradient.mul_(factor);
    }
  }
}

/// What a gradient of that norm is to be multiplied with, to be no longer than `most`; 0: any length.
inline double clip_factor(double norm, double most) { return most > 0 && norm > most ? most / norm : 1; }

}  // namespace bevfusion
