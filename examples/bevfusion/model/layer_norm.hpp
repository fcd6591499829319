// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn.h>

namespace bevfusion {

/// Layer normalisation in the type of its own weights, whatever the input's: under autocast in single precision, as autocast
/// itself does on GPUs but not on every LibTorch's CPU, which takes no mixture of types here.
inline torch::Tensor normalised(torch::nn::LayerNorm& norm, const torch::Tensor& input) {
  return norm->forward(input.to(norm->weight.scalar_type()));
}

}  // namespace bevfusion
