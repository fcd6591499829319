// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include <ATen/core/Tensor.h>

#include <fuller/backward/step.hpp>
#include <fuller/core/error.hpp>
#include <fuller/graph/libtorch.hpp>
#include <fuller/graph/running.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Sees the gradient that arrives at one task's loss: the loss sum's and nothing else.
///
/// The node that a backward starts at is not among those that can be listed from inside it, so a loss added to the sum right
/// there, `sum + loss`, shows only here. Sits on the loss's own node and dies with the graph.
class LossGuard : public FunctionPreHook {
 public:
  LossGuard(std::weak_ptr<Step> step, std::uint32_t output, std::string task)
      : step_(std::move(step)), output_(output), task_(std::move(task)) {}

  Gradients operator()(const Gradients& gradients) override {
    const auto step = step_.lock();
    const bool ours = step && Running::is(step->pass.run);
    // Unless something was added to it, it is the very tensor that the loss sum has sent: no value need be read.
    if (ours && gradients[output_].defined() && !was_sent(step->pass, gradients[output_])) {
      const at::Tensor& gradient = gradients[output_];
      const at::Tensor expected = step->pass.scale.to(gradient.options()).reshape(gradient.sizes());
      if (!gradient.equal(expected) && gradient.equal(gradient)) {
        fail("the loss of '", task_,
             "' is also used by a term outside the calibration's sum of losses; give it a static weight instead: "
             "options.before or options.after");
      }
    }
    return gradients;
  }

 private:
  static bool was_sent(const Pass& pass, const at::Tensor& gradient) {
    const auto is_it = [&](const at::Tensor& sent) { return gradient.is_alias_of(sent); };
    return is_it(pass.scale) || std::any_of(pass.casts.begin(), pass.casts.end(), is_it);
  }

  std::weak_ptr<Step> step_;
  std::uint32_t output_;
  std::string task_;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
