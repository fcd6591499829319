// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/backward/state.hpp>
#include <fuller/core/error.hpp>
#include <fuller/engine/task_engine.hpp>
#include <fuller/graph/pull_together.hpp>

// TaskMemory::layer_by_layer: the Gram matrix of all shared parameters, of which no task gradient is ever held whole.

namespace fuller {
inline namespace v0_1 {
namespace detail {

inline bool goes_layer_by_layer(const State& state) {
  return state.plan->surface == Surface::all_shared && state.options().memory == TaskMemory::layer_by_layer;
}

/// Why a pass trains after this way of comparing, for the diagnostics.
inline std::string why_layers_need_one_more() { return "options.memory is TaskMemory::layer_by_layer"; }

/// What is known when all tasks have passed.
struct ComparedByLayers {
  std::vector<bool> reached;  ///< T: whether the task has a gradient of any shared parameter
  TaskTensors of_heads;       ///< T lists: the gradients of heads that were asked for
};

/// Has what the tasks send into the graph compared at the shared parameters, layer by layer, and puts the Gram matrix into
/// `shown`.
/// @param passable  a node of fuller's on the way that sends on what it is given, or null
/// @param heads     parameters of one task alone, T lists, whose gradients are wanted besides
/// @throws Error where other nodes of fuller's are on the way, or parts of the model on another device.
inline ComparedByLayers compare_layer_by_layer(State& state, Step& step, const std::vector<SentTogether>& sent,
                                               const Node* passable, const std::vector<std::vector<at::Tensor>>& heads,
                                               StepEvidence& shown) {
  const std::size_t tasks = state.tasks().size();
  std::vector<Edge> roots;
  for (const SentTogether& one : sent) {
    roots.push_back(one.into);
  }
  const std::string why = why_not_together(roots, passable);
  if (!why.empty()) {
    fail("options.memory is TaskMemory::layer_by_layer, and on the way to the shared parameters is ", why,
         "; choose TaskMemory::all_layers, or Surface::representation");
  }
  std::vector<Edge> targets = step.summed->compared.edges;
  const std::size_t shared = targets.size();
  ComparedByLayers found{std::vector<bool>(tasks, false), TaskTensors(tasks)};
  std::vector<std::pair<std::size_t, std::size_t>> of_head;  // a task and a parameter of its
  for (std::size_t i = 0; i < heads.size(); ++i) {
    found.of_heads[i].resize(heads[i].size());
    for (std::size_t p = 0; p < heads[i].size(); ++p) {
      targets.push_back(gradient_edge(heads[i][p]));
      of_head.emplace_back(i, p);
    }
  }
  PulledTogether(sent, targets, tasks).run(state.nested, [&](std::size_t target, std::vector<at::Tensor> gradients) {
    if (target >= shared) {
      const auto [i, p] = of_head[target - shared];
      found.of_heads[i][p] = std::move(gradients[i]);
      return;
    }
    for (std::size_t i = 0; i < tasks; ++i) {
      found.reached[i] = found.reached[i] || gradients[i].defined();
    }
    step.pass.count_apart(gradients);
    state.engine->add_gram(gradients, shown.gram);
  });
  for (const std::uint8_t present : step.pass.outcome.present) {
    step.pass.passes += present;
  }
  for (const auto& of_task : found.of_heads) {
    step.pass.bytes_kept += Pass::bytes_of(of_task);
  }
  if (!shown.gram.defined()) {  // nothing is shared that a task reaches
    state.engine->add_gram(std::vector<at::Tensor>(tasks), shown.gram);
  }
  step.pass.one_more = why_layers_need_one_more();
  return found;
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
