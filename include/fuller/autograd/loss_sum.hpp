// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <unordered_set>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/graph_task.h>

#include <fuller/autograd/head_gradients.hpp>
#include <fuller/autograd/task_fork.hpp>

namespace fuller::detail {

/// The root: the sum of the present tasks' losses.
///
/// It runs first in backward. There it sees the loss scale, sets the heads' earlier gradients aside, refuses terms outside the
/// sum that would be weighted too, and, where heads share parameters, chooses the weights itself.
struct LossSum : torch::autograd::Function<LossSum> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, at::TensorList losses, std::shared_ptr<StepOfState> both) {
    context->saved_data["step"] = capsule(std::move(both));
    at::Tensor total = losses[0].clone();
    for (std::size_t i = 1; i < losses.size(); ++i) {
      total = total + losses[i];
    }
    return total;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto both = open_capsule<StepOfState>(context->saved_data["step"]);
    State& state = *both->state;
    Step& step = *both->step;
    if (at::GradMode::is_enabled()) {
      fail("a backward with create_graph through the calibration's sum of losses is refused: the weights would be applied twice");
    }
    const at::Tensor& scale = gradients[0];
    step.run = torch::autograd::get_current_graph_task_nodes_in_graph();
    step.weighed = false;
    step.loss_scale = scale.item<double>();
    step.nodes_at_start = nodes_made();
    refuse_terms_outside(state, step);

    torch::autograd::variable_list to_losses(step.given.size(), scale);
    std::shared_ptr<HeadGradients> heads;
    if (weighs_heads_afterwards(state, step)) {
      heads = std::make_shared<HeadGradients>(both->state, both->step);
    }
    if (step.route == Step::Route::sum) {
      TaskTensors of_heads = choose(state, step, scale);
      for (std::size_t k = 0; k < step.given.size(); ++k) {
        const double weight = state.rule.verdict.shared[step.given[k]];
        to_losses[k] = weight == 0.0 ? at::Tensor() : scale * weight;
      }
      if (heads) {
        heads->replacements = std::move(of_heads);
      }
    }
    if (heads) {
      HeadGradients::finish_last(std::move(heads));
    }
    to_losses.emplace_back();  // nothing for the step
    return to_losses;
  }

 private:
  /// At the fork, heads run unweighted and are weighted afterwards; at the sum they run weighted, and get their plain gradients
  /// afterwards where only shared parameters are to be weighted.
  static bool weighs_heads_afterwards(const State& state, const Step& step) {
    return (step.route == Step::Route::fork) == (state.apply_to == ApplyTo::all);
  }

  /// Forms the T gradients of all shared parameters, and of the heads where wanted, in T passes; asks the rule.
  /// @return the heads' gradients, T lists.
  static TaskTensors choose(State& state, Step& step, const at::Tensor& scale) {
    const std::uint64_t before = nodes_made();
    const bool with_heads = state.apply_to == ApplyTo::shared_only;
    TaskTensors gradients(state.tasks.size());
    TaskTensors of_heads(state.tasks.size());
    std::fill(state.present.begin(), state.present.end(), std::uint8_t{0});
    state.measured = measures_now(state);
    for (std::size_t k = 0; k < step.given.size(); ++k) {
      const std::size_t i = step.given[k];
      state.present[i] = 1;
      std::vector<Edge> targets;
      if (state.measured) {
        targets = step.surface_edges;
      }
      if (with_heads) {
        for (const at::Tensor& parameter : step.heads[i]) {
          targets.push_back(gradient_edge(parameter));
        }
      }
      if (targets.empty()) {
        continue;
      }
      std::vector<at::Tensor> all = pull_back({step.loss_edges[k]}, {scale}, targets, state.nested);
      const auto middle = all.end() - static_cast<std::ptrdiff_t>(with_heads ? step.heads[i].size() : 0);
      of_heads[i].assign(middle, all.end());
      gradients[i].assign(all.begin(), middle);
    }
    if (nodes_made() != before) {
      fail(
          "a checkpoint ran its forward again while task gradients of all shared parameters were formed, and has added to .grad "
          "once a task; zero the gradients, and use no checkpoint with Surface::all_shared (or another surface)");
    }
    if (state.measured) {
      gram_matrix(gradients, state.gram.data());
    }
    weigh(state, step);
    return of_heads;
  }

  /// A term that is added to the sum and reaches a fork output, or a head parameter whose gradient is changed afterwards, would
  /// be weighted (or lost) with the task's own gradient.
  static void refuse_terms_outside(const State& state, const Step& step) {
    const auto* running = torch::autograd::get_current_graph_task_nodes_in_graph();
    if (running == nullptr) {
      return;
    }
    std::unordered_set<const void*> changed;
    if (weighs_heads_afterwards(state, step)) {
      for (const auto& head : step.heads) {
        for (const at::Tensor& parameter : head) {
          changed.insert(parameter.unsafeGetTensorImpl());
        }
      }
    }
    const bool at_fork = step.route == Step::Route::fork;
    for (const Node* node : *running) {
      if (node == step.sum || step.inside.count(node) != 0) {
        continue;
      }
      for (const Edge& edge : node->next_edges()) {
        if (!edge.function) {
          continue;
        }
        if (at_fork && edge.function.get() == step.fork) {
          fail("a term outside the calibration's sum of losses reads an output of fork(), at ", node->name(),
               "; add that term to its task's loss");
        }
        if (changed.empty()) {
          continue;
        }
        const at::Tensor* leaf = leaf_of(edge.function.get());
        if (leaf != nullptr && changed.count(leaf->unsafeGetTensorImpl()) != 0) {
          fail("a head parameter of shape ", leaf->sizes(),
               " is also used by a term outside the calibration's sum of losses, at ", node->name(),
               "; add that term to its task's loss");
        }
      }
    }
  }
};

}  // namespace fuller::detail
