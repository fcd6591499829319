// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <fuller/backward/agreement.hpp>
#include <fuller/backward/gathered_sum.hpp>
#include <fuller/backward/loss_guard.hpp>
#include <fuller/backward/loss_sum.hpp>
#include <fuller/backward/plain_step.hpp>
#include <fuller/backward/route.hpp>
#include <fuller/backward/state.hpp>
#include <fuller/core/error.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Finds out what the losses depend on, and refuses what cannot be exact.
inline void explore(State& state, Step& step, Summed& of_sum, const std::vector<Edge>& edges) {
  refusing_together(state, [&] { choose_route(state, step, of_sum, edges); });
}

/// The sum of the losses of one micro-batch of several.
inline at::Tensor gathered_sum(const std::shared_ptr<State>& state, const std::shared_ptr<Step>& step,
                               const std::shared_ptr<Summed>& of_sum, std::vector<Edge> loss_edges) {
  of_sum->heads.resize(state->tasks().size());
  std::vector<at::Tensor> leaves = trained_by(*of_sum);
  if (leaves.empty() && !of_sum->given.empty()) {
    fail("calibration.accumulate(", state->gathering.count,
         ") keeps the gradients of parameters, and the graph shows none: they lie ",
         "inside a checkpoint; use none, or leave accumulate() out");
  }
  if (leaves.empty()) {
    leaves.push_back(at::zeros({}).requires_grad_());
  }
  auto batch = std::make_shared<MicroBatch>(MicroBatch{state, step, std::move(loss_edges), of_sum, leaves});
  at::Tensor total = GatheredSum::apply(at::TensorList(leaves), std::move(batch));
  of_sum->node = total.grad_fn().get();
  step->summed = of_sum;
  return total;
}

/// The sum of T losses, in the order of the tasks, from a node at which their backward is calibrated.
inline at::Tensor summed_losses(const std::shared_ptr<State>& state, const std::vector<at::Tensor>& losses) {
  const std::size_t tasks = state->tasks().size();
  if (losses.size() != tasks) {
    fail("sum() got ", losses.size(), " losses for ", tasks, " tasks; pass an undefined tensor for a task that is absent");
  }
  std::vector<at::Tensor> given;
  std::vector<std::size_t> given_tasks;
  std::vector<Edge> edges;
  at::Tensor constant;
  for (std::size_t i = 0; i < tasks; ++i) {
    if (!losses[i].defined()) {
      continue;
    }
    if (losses[i].numel() != 1) {
      fail("the loss of '", state->tasks()[i], "' has shape ", losses[i].sizes(), "; a scalar is needed: its mean or sum");
    }
    if (at::isComplexType(losses[i].scalar_type())) {
      fail("the loss of '", state->tasks()[i], "' is complex; a real number is needed: torch::real() or abs() of it");
    }
    if (at::GradMode::is_enabled() && losses[i].requires_grad()) {
      given.push_back(losses[i].dim() == 0 ? losses[i] : losses[i].reshape({}));
      given_tasks.push_back(i);
      edges.push_back(gradient_edge(losses[i]));
    } else {
      const at::Tensor value = losses[i].reshape({});
      constant = constant.defined() ? constant + value : value;
    }
  }
  // A micro-batch counts also where no task has a loss in it.
  const bool gathers = state->gathering.count > 1 && at::GradMode::is_enabled();
  if (given.empty() && !gathers) {
    return constant.defined() ? constant : at::zeros({});
  }
  auto step = step_of(*state, edges);
  if (!step) {
    step = std::make_shared<Step>();
  }
  auto of_sum = std::make_shared<Summed>();
  of_sum->given = std::move(given_tasks);
  of_sum->losses.assign(tasks, at::Tensor());
  for (std::size_t k = 0; k < given.size(); ++k) {
    // A copy where a rule is to read it later: a trainer may reduce its losses in place meanwhile.
    of_sum->losses[of_sum->given[k]] = state->plan->rule.needs().losses ? given[k].detach().clone() : given[k].detach();
    edges[k] = gradient_edge(given[k]);
  }
  if (given.empty()) {
    of_sum->seen = std::make_shared<Seen>();
  } else {
    explore(*state, *step, *of_sum, edges);
  }
  of_sum->gathers = gathers && of_sum->route != Route::plain;
  if (of_sum->gathers) {
    const at::Tensor total = gathered_sum(state, step, of_sum, std::move(edges));
    return constant.defined() ? total + constant : total;
  }
  if (of_sum->route == Route::fork) {
    for (std::size_t k = 0; k < edges.size(); ++k) {
      edges[k].function->add_pre_hook(std::make_unique<LossGuard>(step, edges[k].input_nr, state->tasks()[of_sum->given[k]]));
    }
  }
  if (of_sum->route == Route::plain) {
    say_plain(*state);
  }
  auto summed = std::make_shared<SummedStep>(SummedStep{state, step, std::move(edges), of_sum});
  const at::Tensor total = LossSum::apply(at::TensorList(given), std::move(summed));
  of_sum->node = total.grad_fn().get();
  step->summed = std::move(of_sum);
  return constant.defined() ? total + constant : total;
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
