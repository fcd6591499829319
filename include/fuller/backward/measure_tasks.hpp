// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/backward/layer_by_layer.hpp>
#include <fuller/backward/layer_of_ranks.hpp>
#include <fuller/backward/modalities.hpp>
#include <fuller/backward/state.hpp>
#include <fuller/core/error.hpp>
#include <fuller/engine/task_engine.hpp>
#include <fuller/graph/gradient_substitutes.hpp>
#include <fuller/graph/libtorch_nodes.hpp>
#include <fuller/graph/pull_back.hpp>
#include <fuller/graph/sums_at_leaves.hpp>
#include <fuller/tensor/ghost_gram.hpp>
#include <fuller/tensor/ranks.hpp>

// What the fork's node shows the engine.

namespace fuller {
inline namespace v0_1 {
namespace detail {

inline bool any_defined(const std::vector<at::Tensor>& tensors) {
  return std::any_of(tensors.begin(), tensors.end(), [](const at::Tensor& tensor) { return tensor.defined(); });
}

/// Whether the layer with this input is compared by it rather than by its weight's gradients, here or on all ranks.
inline bool compares_by_rows(const State& state, const Pass& pass, const at::Tensor& x, const Compared& compared,
                             const TaskTensors& cotangents) {
  if (state.options().ranks.average) {
    return pass.rows.has_value();
  }
  const auto present = std::count_if(cotangents.begin(), cotangents.end(), any_defined);
  return x.defined() &&
         ghost_pays(x.size(0), x.size(1), compared.parameters.front().numel() / x.size(1), static_cast<int>(present));
}

/// Refuses task gradients of which one is missing altogether: the parameters then lie where the engine cannot reach them.
inline void expect_reached(const State& state, std::size_t task, bool is_reached) {
  if (!is_reached) {
    fail("the loss of '", state.tasks()[task], "' gives the ", state.plan->surface == Surface::all_shared ? "" : "last ",
         "shared parameters no gradient: they are not on the way from the losses back, or lie inside a checkpointed segment; ",
         "name parameters outside of it, fork(z, {weight}), or choose Surface::representation");
  }
}

/// Refuses a checkpoint on the way to the surface: its own backward adds to `.grad` each time that it is passed.
/// @param expected  what nodes_made() is if nothing but the engine made any
inline void expect_no_checkpoint(std::uint64_t expected) {
  if (nodes_made() != expected) {
    fail("a checkpoint ran its forward again while the task gradients of the shared parameters were formed, and has added to ",
         ".grad once a task; zero the gradients, and name parameters between the checkpoint and fork(), fork(z, {weight}), ",
         "or choose Surface::representation (Surface::all_shared takes no checkpoint)");
  }
}

/// What `cotangents` of the fork's outputs give at `targets`, T lists.
/// @param under_way  where ranks compare all that is shared: takes each task's list as soon as it is there, and that of one which
///                   is present on other ranks alone
/// @throws Error where that ran a checkpoint, whose parameters then hold gradients they should not.
inline TaskTensors pull_back_tasks(State& state, Step& step, const TaskTensors& cotangents, const std::vector<Edge>& targets,
                                   AveragesUnderWay* under_way = nullptr) {
  std::uint64_t expected = nodes_made();
  TaskTensors gradients(cotangents.size());
  for (std::size_t i = 0; i < cotangents.size(); ++i) {
    if (any_defined(cotangents[i])) {
      expected += engine_nodes(cotangents[i]);
      gradients[i] = pull_back(step.forked->roots, cotangents[i], targets, state.nested);
      expect_reached(state, i, any_defined(gradients[i]));
      step.pass.count(gradients[i]);
    }
    if (under_way != nullptr && step.pass.outcome.present[i] != 0) {
      under_way->send(i, gradients[i]);
    }
  }
  expect_no_checkpoint(expected);
  return gradients;
}

inline AveragesUnderWay averages_under_way(const State& state, const FlatLists& layout, std::size_t tasks) {
  return {state.options().ranks, layout.of_one(), tasks, {"the task gradients", state.engine->steps_begun()}};
}

/// Replaces the task gradients by those of the mean over the ranks; `present` tells whose are on any of them. All that is shared
/// travels task by task, whether there is a next pass meanwhile or not: a rank need not know what the others do.
inline void average_gradients_of_tasks(State& state, const FlatLists& layout, const std::vector<std::uint8_t>& present,
                                       TaskTensors& gradients) {
  if (state.plan->surface == Surface::all_shared) {
    AveragesUnderWay under_way = averages_under_way(state, layout, gradients.size());
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      if (present[i] != 0) {
        under_way.send(i, gradients[i]);
      }
    }
    state.shown.bytes_averaged += under_way.bytes();
    gradients = under_way.means();
    return;
  }
  state.shown.bytes_averaged += layout.bytes();
  average_lists(state.options().ranks, layout, gradients, {"the task gradients", state.engine->steps_begun()});
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (present[i] == 0) {
      gradients[i].clear();  // absent is not zero
    }
  }
}

/// Has the Gram matrix of all that is shared formed layer by layer, from `cotangents` of the fork's outputs, if that is asked for
/// or takes less time; false where not.
inline bool compare_layers_at_fork(State& state, Step& step, const TaskTensors& cotangents, StepEvidence& shown) {
  std::vector<SentTogether> sent;
  for (std::size_t k = 0; k < step.forked->roots.size(); ++k) {
    sent.push_back({step.forked->roots[k], {}});
    for (const auto& of_task : cotangents) {
      sent.back().cotangents.push_back(of_task[k]);
    }
  }
  const std::uint64_t expected = nodes_made();
  const auto present = static_cast<int>(std::count_if(cotangents.begin(), cotangents.end(), any_defined));
  const std::optional<ComparedByLayers> found = goes_layer_by_layer(state)
                                                    ? compare_layer_by_layer(state, step, sent, nullptr, {}, shown)
                                                    : compare_by_rows(state, step, sent, present, shown);
  if (!found) {
    return false;
  }
  expect_no_checkpoint(expected);
  for (std::size_t i = 0; i < cotangents.size(); ++i) {
    if (any_defined(cotangents[i])) {
      expect_reached(state, i, found->reached[i]);
    }
  }
  return true;
}

/// Whether one of the gradients is not an array of numbers, and so has no sum in place.
inline bool any_sparse(const TaskTensors& gradients) {
  return std::any_of(gradients.begin(), gradients.end(), [](const auto& list) {
    return std::any_of(list.begin(), list.end(),
                       [](const at::Tensor& gradient) { return gradient.defined() && gradient.layout() != at::kStrided; });
  });
}

/// Puts the task gradients that `cotangents` of the fork's outputs give at the surface into `shown`.
/// @return those of them, formed here, whose weighted sum is to train what is shared; none where a pass is to
inline TaskTensors gather_at_fork(State& state, Step& step, const TaskTensors& cotangents, StepEvidence& shown) {
  const Compared& compared = step.summed->compared;
  const std::vector<Edge>& roots = step.forked->roots;
  if (state.plan->surface == Surface::representation) {
    shown.gradients = cotangents;
    shown.of_own_samples = true;
    return {};
  }
  const at::Tensor x = layer_input(state, compared);
  if (compares_by_rows(state, step.pass, x, compared, cotangents)) {
    const bool is_output = roots.front() == compared.product;
    shown.layer_input = x;
    shown.gradients = is_output ? cotangents : pull_back_tasks(state, step, cotangents, {compared.product});
    if (step.pass.rows) {
      gather_rows(state, *step.pass.rows, step.pass.outcome.present, shown);
    }
    return {};
  }
  if (state.plan->surface == Surface::all_shared && compare_layers_at_fork(state, step, cotangents, shown)) {
    return {};
  }
  const bool over_ranks = static_cast<bool>(state.options().ranks.average);
  const FlatLists layout(over_ranks ? compared.parameters : std::vector<at::Tensor>(), cotangents.size());
  if (state.plan->surface != Surface::all_shared) {
    shown.gradients = pull_back_tasks(state, step, cotangents, compared.edges);
    if (over_ranks) {
      average_gradients_of_tasks(state, layout, step.pass.outcome.present, shown.gradients);
    }
    return {};
  }
  AveragesUnderWay under_way = averages_under_way(state, layout, cotangents.size());
  {
    const HooksAside aside(compared.parameters);
    shown.gradients = pull_back_tasks(state, step, cotangents, compared.edges, over_ranks ? &under_way : nullptr);
    step.pass.note(sums_at_leaves(roots, compared.edges, *state.names));
    if (any_sparse(shown.gradients)) {
      step.pass.note({"a sparse gradient", {}});
    }
  }
  TaskTensors to_sum;
  if (step.pass.summed) {
    to_sum = shown.gradients;  // before they are averaged: the trainer averages what a backward leaves
  }
  if (over_ranks) {
    state.shown.bytes_averaged += under_way.bytes();
    shown.gradients = under_way.means();
  }
  return to_sum;
}

/// Asks the rule for this step's weights. `outcome.present` and, where measured, `shown.gradients` are given.
/// @throws NonFiniteError under NonFinite::throw_error; the state is then as it was.
inline void weigh(State& state, Step& step, StepEvidence shown) {
  shown.losses = step.summed->losses;
  shown.scale = step.pass.noted_scale;
  shown.share = step.pass.share;
  if (state.options().ranks.average) {
    const std::size_t tasks = state.tasks().size();
    const std::size_t numbers = (step.pass.outcome.measured && shown.of_own_samples ? tasks * tasks : 0) +
                                (state.plan->rule.needs().losses && !step.pass.outcome.held ? 2 * tasks : 0);
    state.shown.bytes_averaged += static_cast<std::int64_t>(numbers * sizeof(double));
  }
  state.engine->weigh(shown, step.pass.outcome);
  state.show(step);
}

/// Has the shared parameters get the weighted sums of their task gradients when the running backward comes to them, which passes
/// with nothing what lies between.
inline void train_by_sums(State& state, Step& step, TaskTensors gradients) {
  const Compared& compared = step.summed->compared;
  const auto sums = std::make_shared<GradientSubstitutes>();
  for (std::size_t k = 0; k < compared.parameters.size(); ++k) {
    std::vector<at::Tensor> of_parameter;
    for (auto& of_task : gradients) {
      of_parameter.push_back(of_task.empty() ? at::Tensor() : std::move(of_task[k]));
    }
    at::Tensor sum = state.engine->combined(of_parameter, step.pass.outcome, k);
    if (sum.defined()) {
      sums->put_on_top(compared.parameters[k], compared.edges[k], std::move(sum));
    }
  }
  have_gates_scale(state, std::move(step.pass.branches), sums);
  at_end_of_backward([sums] { sums->remove(); });
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
