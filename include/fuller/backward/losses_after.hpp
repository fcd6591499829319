// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/core/error.hpp>
#include <fuller/core/evidence.hpp>
#include <fuller/engine/plan.hpp>
#include <fuller/engine/record.hpp>
#include <fuller/tensor/ranks.hpp>

// Losses of the last step's batch, after it, on their way to a rule that learns from them.

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Has the rule learn from the losses; `memory` is that after the step. Waits where they are on a device.
/// @throws Error for a rule that learns nothing after a step, under a loss stage, and for losses that are no T scalars
inline void learn_after(const Plan& plan, const std::vector<at::Tensor>& losses, Memory& memory) {
  if (!plan.rule.learns_after()) {
    fail("losses_after() is for a rule that learns from the losses after a step, fuller::FAMO(); '", plan.rule.name(),
         "' does not: leave the call out");
  }
  if (plan.options.stage != LossStage::none) {
    fail("losses_after() goes without a loss stage, whose losses are others than those given; leave the call out, so that '",
         plan.rule.name(), "' learns from the next step, or set options.stage to fuller::LossStage::none");
  }
  const std::size_t tasks = plan.tasks.size();
  if (losses.size() != tasks) {
    fail("losses_after() got ", losses.size(), " losses for ", tasks, " tasks; pass an undefined tensor for one that was absent");
  }
  // T losses, then how many ranks have each.
  std::vector<double> numbers(2 * tasks, 0.0);
  for (std::size_t i = 0; i < tasks; ++i) {
    if (!losses[i].defined()) {
      continue;
    }
    if (losses[i].numel() != 1) {
      fail("the loss of '", plan.tasks[i], "' after the step has shape ", losses[i].sizes(),
           "; a scalar is needed: its mean or sum");
    }
    numbers[i] = losses[i].item<double>();
    numbers[tasks + i] = 1;
  }
  if (plan.options.ranks.average) {
    average(plan.options.ranks, numbers, {"the losses after the step", memory.steps});
  }
  std::vector<std::uint8_t> present(tasks, 0);
  for (std::size_t i = 0; i < tasks; ++i) {
    present[i] = numbers[tasks + i] > 0 ? 1 : 0;
    numbers[i] = present[i] != 0 ? numbers[i] / numbers[tasks + i] : 0.0;
  }
  Evidence<> evidence;
  evidence.count = static_cast<int>(tasks);
  evidence.losses = numbers.data();
  evidence.present = present.data();
  evidence.step = memory.steps;
  evidence.epoch = memory.epochs;
  if (memory.steps < 1 || (memory.steps - 1) % plan.options.every != 0) {
    return;  // the rule has not seen that step's losses before
  }
  std::vector<double> scratch(plan.rule.scratch_size());
  plan.rule.after_step(evidence, memory.rule.data(), scratch.data());
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
