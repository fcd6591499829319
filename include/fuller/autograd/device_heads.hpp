// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/engine.h>

#include <fuller/autograd/step.hpp>

namespace fuller::detail {

/// Has the engine weight the heads' new gradients on the device when the running backward is through, right before
/// HeadGradients, which then takes them as they are and adds what was set aside.
///
/// Called before HeadGradients::finish_last(), so that both callbacks, each queued once more, keep this order.
inline void weight_heads_last(std::shared_ptr<State> state, std::shared_ptr<Step> step) {
  auto& engine = torch::autograd::Engine::get_default_engine();
  const auto weight_heads = [state = std::move(state), step = std::move(step)] {
    if (!step->weighed || !state->device || !state->weights_on_device) {
      return;
    }
    const at::NoGradGuard no_grad;
    for (std::size_t i = 0; i < step->heads.size(); ++i) {
      for (const at::Tensor& parameter : step->heads[i]) {
        at::Tensor& gradient = parameter.mutable_grad();
        if (gradient.defined()) {
          gradient = state->device->weighted_head(i, gradient);
        }
      }
    }
  };
  engine.queue_callback([weight_heads, &engine] { engine.queue_callback(weight_heads); });
}

}  // namespace fuller::detail
