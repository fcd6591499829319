// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/backward/step.hpp>
#include <fuller/graph/linear_input.hpp>
#include <fuller/graph/pull_back.hpp>
#include <fuller/tensor/ghost_gram.hpp>
#include <fuller/tensor/ranks.hpp>
#include <fuller/tensor/reductions.hpp>

namespace fuller::detail {

/// A list of tensors for each task; the list of an absent task holds undefined tensors or none.
using TaskTensors = std::vector<std::vector<at::Tensor>>;

inline bool any_defined(const std::vector<at::Tensor>& tensors) {
  return std::any_of(tensors.begin(), tensors.end(), [](const at::Tensor& tensor) { return tensor.defined(); });
}

/// The Gram matrix of a linear layer's weight gradients without those gradients; false, and nothing done, where forming them is
/// cheaper.
inline bool gram_of_linear(State& state, Step& step, const TaskTensors& cotangents) {
  if (!step.linear.function || state.options.ranks.average) {
    return false;
  }
  const bool hooked = has_hooks(*step.linear.function) ||
                      std::any_of(step.linear_way.begin(), step.linear_way.end(), [](Node* node) { return has_hooks(*node); });
  const at::Tensor x = hooked ? at::Tensor() : linear_input(*step.linear.function);
  const at::Tensor& weight = step.surface.front();
  const auto present = std::count_if(cotangents.begin(), cotangents.end(), any_defined);
  if (!x.defined() || x.layout() != at::kStrided || x.dim() != 2 || x.size(1) == 0 || !x.device().is_cpu() ||
      x.scalar_type() != weight.scalar_type() ||
      !ghost_pays(x.size(0), x.size(1), weight.numel() / x.size(1), static_cast<int>(present))) {
    return false;
  }
  const bool is_output = step.roots.front() == step.linear;
  std::vector<at::Tensor> output_gradients(cotangents.size());
  for (std::size_t i = 0; i < cotangents.size(); ++i) {
    if (any_defined(cotangents[i]) && is_output) {
      output_gradients[i] = cotangents[i].front();
    } else if (any_defined(cotangents[i])) {
      output_gradients[i] = pull_back(step.roots, cotangents[i], {step.linear}, state.nested).front();
      count_pass(step, {output_gradients[i]});
    }
  }
  ghost_gram_matrix(x, output_gradients, /*with_bias=*/false, step.outcome.gram.data());
  return true;
}

/// Refuses task gradients of which one is missing altogether: the parameters then lie where the engine cannot reach them.
inline void expect_reached(const State& state, std::size_t task, const std::vector<at::Tensor>& gradients) {
  if (!any_defined(gradients)) {
    fail("the loss of '", state.tasks[task], "' gives the ", state.surface == Surface::all_shared ? "" : "last ",
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

/// The task gradients of the surface's parameters that `cotangents` of the fork's outputs give.
/// @param expected  what nodes_made() is if nothing but the engine made any
/// @throws Error where that ran a checkpoint, whose parameters then hold gradients they should not.
inline TaskTensors pull_back_to_surface(State& state, Step& step, const TaskTensors& cotangents, std::uint64_t expected) {
  TaskTensors gradients(cotangents.size());
  for (std::size_t i = 0; i < cotangents.size(); ++i) {
    if (any_defined(cotangents[i])) {
      expected += engine_nodes(cotangents[i]);
      gradients[i] = pull_back(step.roots, cotangents[i], step.surface_edges, state.nested);
      expect_reached(state, i, gradients[i]);
      count_pass(step, gradients[i]);
    }
  }
  expect_no_checkpoint(expected);
  return gradients;
}

/// Forms the Gram matrix of the task gradients that `cotangents` of the fork's outputs give at the step's surface.
/// @throws Error where that ran a checkpoint, whose parameters then hold gradients they should not.
inline void measure_at_fork(State& state, Step& step, const TaskTensors& cotangents) {
  const Ranks& ranks = state.options.ranks;
  if (state.surface == Surface::representation) {
    gram_matrix(cotangents, step.outcome.gram.data());
    if (ranks.average) {
      // The loss is a mean over ranks, so each rank's cotangents are its share 1 / R: sum_r <dz_i, dz_j>_r / R^2.
      average(ranks, step.outcome.gram);
      std::for_each(step.outcome.gram.begin(), step.outcome.gram.end(), [&](double& product) { product /= ranks.count; });
    }
    return;
  }
  const std::uint64_t expected = nodes_made();
  if (gram_of_linear(state, step, cotangents)) {
    expect_no_checkpoint(expected);
    return;
  }
  TaskTensors gradients = pull_back_to_surface(state, step, cotangents, expected);
  if (ranks.average) {
    average_lists(ranks, step.surface, gradients);
  }
  gram_matrix(gradients, step.outcome.gram.data());
}

/// Whether this step's task gradients are to be compared.
inline bool measures_now(const State& state) {
  const int every = state.options.measure_every;
  return always_measured(state) || (every > 0 && state.step % every == 0);
}

/// What NonFinite::throw_error throws for.
inline bool is_failure(Condition condition) { return condition == Condition::zero || condition == Condition::non_finite; }

[[noreturn]] inline void throw_failure(std::int64_t step, const std::string& task, Condition condition) {
  throw NonFiniteError(message("in step ", step, " task '", task, "' has a ",
                               condition == Condition::zero ? "zero gradient" : "gradient or loss that is NaN or infinite",
                               "; see NonFinite for policies that go on"));
}

/// Asks the rule for this step's weights. `outcome.present` and, where measured, `outcome.gram` are given.
/// @throws NonFiniteError under NonFinite::throw_error; the state is then as it was.
inline void weigh(State& state, Step& step) {
  Outcome& outcome = step.outcome;
  if (state.rule.needs.losses) {
    for (std::size_t i = 0; i < outcome.losses.size(); ++i) {
      outcome.losses[i] = step.losses[i].defined() ? step.losses[i].item<double>() : 0.0;
    }
    if (state.options.ranks.average) {
      std::vector<bool> given;
      std::transform(step.losses.begin(), step.losses.end(), std::back_inserter(given),
                     [](const at::Tensor& loss) { return loss.defined(); });
      average_losses(state.options.ranks, given, outcome.losses);
    }
  }
  Evidence<> evidence;
  evidence.count = static_cast<int>(state.tasks.size());
  evidence.gram = outcome.measured ? outcome.gram.data() : nullptr;
  evidence.losses = state.rule.needs.losses ? outcome.losses.data() : nullptr;
  evidence.present = outcome.present.data();
  evidence.step = state.step;
  evidence.epoch = state.epoch;
  evidence.loss_scale = outcome.loss_scale;
  const bool may_throw = state.options.non_finite == NonFinite::throw_error;
  const std::vector<double> before = may_throw ? state.rule.state : std::vector<double>();
  state.rule(evidence, outcome.verdict);
  state.last = outcome;
  if (may_throw) {
    for (std::size_t i = 0; i < state.tasks.size(); ++i) {
      const Condition condition = outcome.verdict.conditions[i];
      if (is_failure(condition)) {
        state.rule.state = before;  // the rule itself does not stand still for a zero gradient
        throw_failure(state.step, state.tasks[i], condition);
      }
      if (condition == Condition::used && !std::isfinite(outcome.verdict.shared[i])) {
        state.rule.state = before;
        throw NonFiniteError(message("in step ", state.step, " the rule '", state.rule.name, "' gives task '", state.tasks[i],
                                     "' the weight ", outcome.verdict.shared[i], " for gradients and losses that are finite"));
      }
    }
  }
  outcome.weighed = true;
  ++state.step;
  show(state, step);
}

/// The same on the device, from the task gradients themselves: nothing is thrown for what they hold, and nothing waited for.
inline void weigh_on_device(State& state, Step& step, const TaskTensors& gradients) {
  step.outcome.device_heads = state.device->weigh(state, step, gradients);
  step.outcome.weighed = true;
  state.last = step.outcome;
  ++state.step;
  show(state, step);
}

/// The same from the cotangents of the fork's outputs.
inline void weigh_at_fork_on_device(State& state, Step& step, const TaskTensors& cotangents) {
  if (!step.outcome.measured || state.surface == Surface::representation) {
    weigh_on_device(state, step, cotangents);
  } else {
    weigh_on_device(state, step, pull_back_to_surface(state, step, cotangents, nodes_made()));
  }
}

}  // namespace fuller::detail
