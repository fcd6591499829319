// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <fuller/backward/capsule.hpp>
#include <fuller/backward/measure_tasks.hpp>
#include <fuller/backward/ranks_in_step.hpp>
#include <fuller/backward/state.hpp>
#include <fuller/graph/running.hpp>
#include <fuller/tensor/reductions.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// The node at the shared representation: K levels in, an alias of each for each of the T tasks out.
///
/// Autograd runs its backward once, when all cotangents have arrived, each in its own slot i * K + k. There the evidence is
/// gathered, the rule asked, and sum_i w_i dz_ik sent on to level k; or nothing, where all that lies upstream has its gradients
/// already, weighted.
struct TaskFork : torch::autograd::Function<TaskFork> {
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, at::TensorList levels,
                                                std::shared_ptr<StepOfState> both) {
    context->set_materialize_grads(false);
    const std::size_t tasks = both->state->tasks().size();
    context->saved_data["step"] = capsule(std::move(both));
    torch::autograd::variable_list aliases;
    for (std::size_t i = 0; i < tasks; ++i) {
      aliases.insert(aliases.end(), levels.begin(), levels.end());
    }
    return aliases;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list cotangents) {
    const auto both = open_capsule<StepOfState>(context->saved_data["step"]);
    State& state = *both->state;
    Step& step = *both->step;
    if (at::GradMode::is_enabled()) {
      fail("a backward with create_graph through fork() is refused: the weights would be applied twice; losses that hold ",
           "derivatives of outputs (a PINN, a gradient penalty) go with options.surface = fuller::Surface::all_shared and no "
           "fork()");
    }
    const std::size_t tasks = state.tasks().size();
    const std::size_t levels = step.forked->roots.size();
    // Weighed already, at the losses, or later.
    const bool is_plain = step.summed != nullptr && (step.summed->route == Route::sum || step.summed->gathers);
    torch::autograd::variable_list combined(levels + 1);  // and nothing for the step
    if (!is_plain) {
      TaskTensors to_sum = refusing_together(state, [&] { return choose(state, step, cotangents); });
      if (step.pass.summed) {
        train_by_sums(state, step, std::move(to_sum));
        return combined;
      }
    }
    const std::vector<double> ones(tasks, 1.0);
    for (std::size_t k = 0; k < levels; ++k) {
      std::vector<at::Tensor> of_level;
      for (std::size_t i = 0; i < tasks; ++i) {
        of_level.push_back(std::move(cotangents[i * levels + k]));
      }
      combined[k] = is_plain ? weighted_sum(of_level, ones.data()) : state.engine->combined(of_level, step.pass.outcome, k);
    }
    return combined;
  }

 private:
  /// @return the task gradients whose weighted sum is to train what is shared, if that is how
  static TaskTensors choose(State& state, Step& step, const torch::autograd::variable_list& cotangents) {
    if (step.summed == nullptr) {
      fail("a backward passes fork(), but the losses were not summed by the calibration: loss = calibration.sum({...}); for ",
           "derivatives of outputs leave fork() out, under options.surface = fuller::Surface::all_shared");
    }
    if (!Running::is(std::exchange(step.pass.run, {}))) {
      fail("a backward passes fork() that did not start at the calibration's sum of the losses; differentiate that sum");
    }
    step.pass.scale = at::Tensor();
    std::exchange(step.pass.to_losses, {}).expect_unwritten("between a loss and fork()");
    refuse_hidden_heads(state, step);
    Outcome& outcome = step.pass.outcome;
    for (const std::size_t task : step.summed->given) {
      outcome.present[task] = 1;
    }
    state.plan->begin(outcome, state.engine->steps_begun());
    const RanksInStep ranks(state, step, Doing::fork);
    StepEvidence shown;
    TaskTensors to_sum;
    if (outcome.measured) {
      const std::size_t levels = step.forked->roots.size();
      TaskTensors by_task(state.tasks().size());
      for (std::size_t i = 0; i < by_task.size(); ++i) {
        by_task[i].assign(cotangents.begin() + static_cast<std::ptrdiff_t>(i * levels),
                          cotangents.begin() + static_cast<std::ptrdiff_t>((i + 1) * levels));
      }
      const SentAgain sent(cotangents);
      to_sum = gather_at_fork(state, step, by_task, shown);
      sent.expect_unwritten("upstream of fork()");
    }
    weigh(state, step, std::move(shown));
    ranks.join_gates(state);
    return to_sum;
  }

  /// A reentrant checkpoint in a head hides parameters from the graph: unless they were named, they would keep the gradient of
  /// the unweighted loss.
  static void refuse_hidden_heads(const State& state, const Step& step) {
    if (!state.changes_heads(step.summed->route) || nodes_made() == step.pass.nodes_at_start) {
      return;
    }
    for (std::size_t i = 0; i < state.tasks().size(); ++i) {
      if (step.summed->custom[i] && state.named_heads[i].empty()) {
        fail("the head of '", state.tasks()[i],
             "' ran a checkpoint, whose parameters the graph does not show; zero the gradients and "
             "name the head's parameters once: calibration.head(\"",
             state.tasks()[i], "\", head->parameters())");
      }
    }
  }
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
