// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <fuller/backward/state.hpp>
#include <fuller/backward/surface.hpp>
#include <fuller/backward/task_fork.hpp>
#include <fuller/core/error.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// The K levels of a shared representation, once for each task, as outputs of a fork node where any of them is trained.
inline std::vector<std::vector<at::Tensor>> forked_levels(const std::shared_ptr<State>& state,
                                                          const std::vector<at::Tensor>& levels,
                                                          std::vector<at::Tensor> last_shared) {
  if (levels.empty()) {
    fail("fork_levels() got no tensor; give it the shared representation, one tensor or more");
  }
  std::vector<at::Tensor> trained;
  for (const at::Tensor& level : levels) {
    if (!level.defined()) {
      fail("fork() got an undefined tensor as shared representation; give it what the last shared layer puts out");
    }
    state->engine->expect_here(level, "fork() got a tensor on ");
    if (level.requires_grad()) {
      trained.push_back(level);
    }
  }
  const std::size_t tasks = state->tasks().size();
  std::vector<std::vector<at::Tensor>> outputs(tasks, levels);
  if (!at::GradMode::is_enabled()) {
    return outputs;
  }
  state->frozen_fork = trained.empty();
  if (trained.empty()) {
    return outputs;
  }
  auto forked = std::make_shared<Forked>();
  for (const at::Tensor& level : trained) {
    forked->roots.push_back(gradient_edge(level));
  }
  choose_surface(*state, *forked, trained, std::move(last_shared));
  auto step = std::make_shared<Step>();
  auto both = std::make_shared<StepOfState>(StepOfState{state, step});
  const std::vector<at::Tensor> aliases = TaskFork::apply(at::TensorList(trained), std::move(both));
  forked->node = aliases.front().grad_fn().get();
  step->forked = std::move(forked);
  state->open_steps.insert(step);
  for (std::size_t i = 0; i < tasks; ++i) {
    std::size_t next = i * trained.size();
    for (at::Tensor& level : outputs[i]) {
      if (level.requires_grad()) {
        level = aliases[next++];
      }
    }
  }
  return outputs;
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
