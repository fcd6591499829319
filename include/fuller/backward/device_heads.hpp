// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include <ATen/core/Tensor.h>

#include <fuller/backward/step.hpp>

namespace fuller::detail {

/// Weights the gradients that a backward has left in the heads on the device, where the step runs there.
inline void weight_heads_on_device(State& state, const Step& step) {
  if (!step.outcome.weighed || !state.device || !step.outcome.device_heads.defined() || step.route != Step::Route::fork) {
    return;
  }
  for (std::size_t i = 0; i < step.heads.size(); ++i) {
    for (const at::Tensor& parameter : step.heads[i]) {
      at::Tensor& gradient = parameter.mutable_grad();
      if (gradient.defined()) {
        gradient = state.device->weighted_head(step.outcome.device_heads, i, gradient);
      }
    }
  }
}

}  // namespace fuller::detail
