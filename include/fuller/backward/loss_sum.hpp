// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <fuller/backward/head_gradients.hpp>
#include <fuller/backward/plain_heads.hpp>
#include <fuller/backward/plain_step.hpp>
#include <fuller/backward/ranks_in_step.hpp>
#include <fuller/backward/sums_at_losses.hpp>
#include <fuller/backward/task_fork.hpp>
#include <fuller/graph/gradient_substitutes.hpp>
#include <fuller/graph/libtorch.hpp>
#include <fuller/graph/running.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// A loss sum's step, as its node holds it. The edges lead to the fork's node, which must therefore not hold them too.
struct SummedStep {
  std::shared_ptr<State> state;
  std::shared_ptr<Step> step;
  std::vector<Edge> loss_edges;          ///< where each given loss receives its gradient
  std::shared_ptr<const Summed> summed;  ///< what this call of sum() found
};

/// Refuses backwards through a sum of losses in which nothing can be weighed once and for all.
inline void expect_goes_with_sum(const Step& step, const std::shared_ptr<const Summed>& summed) {
  if (at::GradMode::is_enabled()) {
    fail("a backward with create_graph through the calibration's sum of losses is refused: the weights would be applied twice; ",
         "take derivatives of the losses themselves, before sum(), and let the sum's backward be the one that trains");
  }
  if (NestedPass::on_this_thread() > 0) {
    fail("another calibration forms its task gradients through this one's sum of losses; let that one have heads that share no ",
         "parameter, each fed from an output of its fork()");
  }
  if (summed != step.summed) {
    fail("sum() was called once more on losses of the same fork(); go backward from the last sum alone");
  }
}

/// The root: the sum of the present tasks' losses.
///
/// It runs first in backward. There it sees the loss scale, sets the heads' earlier gradients aside, refuses terms outside the
/// sum that would be weighted too, and, where heads share parameters, chooses the weights itself.
struct LossSum : torch::autograd::Function<LossSum> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, at::TensorList losses,
                            std::shared_ptr<SummedStep> summed) {
    context->saved_data["step"] = capsule(std::move(summed));
    at::Tensor total = losses[0].clone();
    for (std::size_t i = 1; i < losses.size(); ++i) {
      total = total + losses[i];
    }
    return total;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto summed = open_capsule<SummedStep>(context->saved_data["step"]);
    State& state = *summed->state;
    Step& step = *summed->step;
    expect_goes_with_sum(step, summed->summed);
    return refusing_together(state, [&] { return begun(state, step, *summed, gradients[0]); });
  }

 private:
  /// What the losses get.
  static torch::autograd::variable_list begun(State& state, Step& step, const SummedStep& of_sum, const at::Tensor& scale) {
    ++state.backwards;
    state.shown.bytes_averaged = 0;
    step.pass = Pass();
    step.pass.outcome = Outcome(state.tasks().size());
    const Route route = step.summed->route;
    if (route == Route::plain) {
      state.note_plain();
      return plain_losses(state, step, of_sum.loss_edges, scale);
    }
    step.pass.run = Running::now();
    step.pass.noted_scale = state.engine->noted(scale);
    step.pass.nodes_at_start = nodes_made();

    refuse_terms_outside(state, step, state.changes_heads(route));
    torch::autograd::variable_list to_losses(step.summed->given.size(), scale);
    if (route == Route::fork) {
      step.pass.scale = scale;
      step.pass.to_losses = SentAgain({scale});
      cast_for_losses(step, to_losses);
    }
    if (route == Route::sum) {
      const GatesOnTheWay gates(state);
      choose(state, step, of_sum.loss_edges, scale, gates, to_losses);
    } else if (state.sets_heads_aside(route)) {
      HeadGradients::finish_last(std::make_shared<HeadGradients>(of_sum.state, of_sum.step));
    }
    to_losses.emplace_back();  // nothing for the step
    return to_losses;
  }

  /// Gives each loss the scale in its own type. The engine would do so itself, into tensors that LossGuard could not tell from
  /// what others have sent, short of waiting for their values.
  static void cast_for_losses(Step& step, torch::autograd::variable_list& to_losses) {
    const Summed& summed = *step.summed;
    for (std::size_t k = 0; k < summed.given.size(); ++k) {
      const at::Tensor& loss = summed.losses[summed.given[k]];
      if (loss.scalar_type() != to_losses[k].scalar_type() || loss.device() != to_losses[k].device()) {
        to_losses[k] = to_losses[k].to(loss.device(), loss.scalar_type());
        step.pass.casts.push_back(to_losses[k]);
      }
    }
  }

  /// Chooses the weights, multiplies them into what the losses get, and has heads that are not to be weighted get their plain
  /// gradients.
  static void choose(State& state, Step& step, const std::vector<Edge>& loss_edges, const at::Tensor& scale,
                     const GatesOnTheWay& gates, torch::autograd::variable_list& to_losses) {
    const Summed& summed = *step.summed;
    state.plan->begin(step.pass.outcome, state.engine->steps_begun());
    if (step.pass.outcome.measured && !goes_layer_by_layer(state)) {
      step.pass.note(sums_at_losses(state, step, loss_edges));
    }
    std::vector<std::vector<at::Tensor>> heads(state.tasks().size());
    for (std::size_t i = 0; i < heads.size(); ++i) {
      if (step.pass.summed) {
        heads[i] = summed.heads[i];
      } else if (state.plan->apply_to == ApplyTo::shared_only) {
        heads[i] = gates.among(summed.heads[i], /*beyond=*/false);
      }
    }
    TaskTensors shared;
    TaskTensors plain = weigh_at_losses(state, step, loss_edges, scale, heads, shared);
    if (step.pass.summed) {
      const bool is_looked_for = state.changes_heads(Route::sum);
      if (!is_looked_for && any_head_weighted_apart(state, step)) {
        refuse_terms_outside(state, step, /*changes=*/true);
      }
      train_by_sums_at_losses(state, step, std::move(shared), std::move(plain));
      to_losses.assign(to_losses.size(), at::Tensor());
      return;
    }
    if (state.plan->apply_to == ApplyTo::all) {
      plain.assign(plain.size(), {});  // formed for sums that cannot be
    }
    const auto substitutes = std::make_shared<GradientSubstitutes>();
    bool expected = state.changes_heads(Route::sum);
    const Verdict& verdict = step.pass.outcome.verdict;
    for (std::size_t k = 0; k < summed.given.size(); ++k) {
      const std::size_t i = summed.given[k];
      const double weight = weight_at_loss(state, verdict, i);
      const double of_head = state.plan->head_policy().weight(verdict, i);
      to_losses[k] = weight == 0.0 ? at::Tensor() : scale * weight;
      if (weight == of_head || std::isnan(of_head)) {
        continue;  // the backward itself gives them that
      }
      if (!std::exchange(expected, true)) {
        refuse_terms_outside(state, step, /*changes=*/true);
      }
      for (std::size_t p = 0; p < plain[i].size(); ++p) {
        substitutes->put(heads[i][p], plain[i][p]);
      }
      if (of_head == 0.0) {
        for (const at::Tensor& parameter : summed.heads[i]) {
          substitutes->put_zeros(parameter);
        }
        continue;
      }
      const std::vector<at::Tensor> beyond = gates.among(summed.heads[i], /*beyond=*/true);
      if (!beyond.empty()) {
        const std::uint64_t before = nodes_made();
        put_plain_beyond(state, gates, loss_edges[k], scale, beyond, substitutes);
        expect_no_checkpoint_at_sum(before);
        step.pass.count({});
        state.show(step);
      }
    }
    if (!substitutes->empty()) {
      at_end_of_backward([substitutes] { substitutes->remove(); });
    }
  }

  static void expect_no_checkpoint_at_sum(std::uint64_t before) {
    if (nodes_made() != before) {
      fail(
          "a checkpoint ran its forward again while task gradients of all shared parameters were formed, and has added to .grad "
          "once a task; zero the gradients, and use no checkpoint with Surface::all_shared (or another surface)");
    }
  }

  /// Forms the T gradients of all shared parameters, and of these parameters of heads, in T passes; asks the rule.
  /// @param shared  gets those of the shared parameters, formed here, if their weighted sums are to train those
  /// @return the heads' gradients, T lists.
  static TaskTensors weigh_at_losses(State& state, Step& step, const std::vector<Edge>& loss_edges, const at::Tensor& scale,
                                     const std::vector<std::vector<at::Tensor>>& heads, TaskTensors& shared) {
    const std::uint64_t before = nodes_made();
    const SentAgain to_losses({scale});
    const Summed& summed = *step.summed;
    StepEvidence shown;
    shown.gradients.resize(state.tasks().size());
    TaskTensors of_heads(state.tasks().size());
    Outcome& outcome = step.pass.outcome;
    for (const std::size_t i : summed.given) {
      outcome.present[i] = 1;
    }
    const bool by_layers = outcome.measured && goes_layer_by_layer(state);
    if (by_layers) {
      std::vector<SentTogether> sent;
      for (std::size_t k = 0; k < summed.given.size(); ++k) {
        sent.push_back({loss_edges[k], std::vector<at::Tensor>(state.tasks().size())});
        sent.back().cotangents[summed.given[k]] = scale;
      }
      of_heads = compare_layer_by_layer(state, step, sent, step.fork_node(), heads, shown).of_heads;
    }
    for (std::size_t k = 0; k < summed.given.size() && !by_layers; ++k) {
      const std::size_t i = summed.given[k];
      std::vector<Edge> targets;
      if (outcome.measured) {
        targets = summed.compared.edges;
      }
      for (const at::Tensor& parameter : heads[i]) {
        targets.push_back(gradient_edge(parameter));
      }
      if (targets.empty()) {
        continue;
      }
      const HooksAside of_head(heads[i]);
      const HooksAside of_shared(summed.compared.parameters);
      std::vector<at::Tensor> all = pull_back({loss_edges[k]}, {scale}, targets, state.nested);
      step.pass.count(all);
      const auto middle = all.end() - static_cast<std::ptrdiff_t>(heads[i].size());
      of_heads[i].assign(middle, all.end());
      shown.gradients[i].assign(all.begin(), middle);
    }
    expect_no_checkpoint_at_sum(before);
    to_losses.expect_unwritten("upstream of a loss");
    if (step.pass.summed && (any_sparse(shown.gradients) || any_sparse(of_heads))) {
      step.pass.note({"a sparse gradient", {}});
    }
    if (step.pass.summed) {
      shared = shown.gradients;  // before they are averaged: the trainer averages what a backward leaves
    }
    const RanksInStep ranks(state, step, Doing::sum);
    if (state.options().ranks.average && outcome.measured) {
      average_gradients_of_tasks(state, FlatLists(summed.compared.parameters, shown.gradients.size()), outcome.present,
                                 shown.gradients);
    }
    weigh(state, step, std::move(shown));
    ranks.join_gates(state);
    // Which losses are left out of the pass to come is a question to the host: here a step on a device waits for its weights.
    state.engine->settle(outcome);
    return of_heads;
  }

  /// A term that is added to the sum and reaches a fork output, or a head parameter whose gradient is changed afterwards, would
  /// be weighted (or lost) with the task's own gradient.
  static void refuse_terms_outside(const State& state, const Step& step, bool changes) {
    const auto* running = nodes_of_backward();
    if (running == nullptr) {
      return;
    }
    std::unordered_map<const void*, std::size_t> changed;  // and whose head it is in
    if (changes) {
      for (std::size_t i = 0; i < step.summed->heads.size(); ++i) {
        for (const at::Tensor& parameter : step.summed->heads[i]) {
          changed.emplace(parameter.unsafeGetTensorImpl(), i);
        }
      }
    }
    refuse_at_roots(state, step, changed);
    for (const Node* node : *running) {
      if (node == step.summed->node || step.summed->inside.contains(node)) {
        continue;
      }
      for (const Edge& edge : node->next_edges()) {
        const Node* next = edge.function.get();
        if (next == nullptr) {
          continue;
        }
        if (next == step.fork_node() || leaf_of(next) != nullptr || step.summed->inside.contains(next)) {
          refuse_beyond(state, step, edge, changed, *node);
        }
      }
    }
  }

  /// The same for what the roots of the backward read directly: those are not among the nodes that can be listed from inside it.
  /// What they have sent waits in the graph task until the sum has sent its part.
  static void refuse_at_roots(const State& state, const Step& step, const std::unordered_map<const void*, std::size_t>& changed) {
    for (const Node* node : waiting_nodes()) {
      if (node == step.fork_node() || leaf_of(node) != nullptr) {
        refuse_at(state, step, *node, changed, *node);
      } else if (step.summed->inside.contains(node)) {
        for (const Edge& edge : node->next_edges()) {
          refuse_beyond(state, step, edge, changed, *node);
        }
      }
    }
  }

  static void refuse_beyond(const State& state, const Step& step, const Edge& edge,
                            const std::unordered_map<const void*, std::size_t>& changed, const Node& entry) {
    walk(edge, [&](const Edge& reached) {
      refuse_at(state, step, *reached.function, changed, entry);
      return reached.function.get() != step.fork_node();
    });
  }

  /// What leaves the heads' gradients alone, for a message: nothing does where a policy may skip a task.
  static const char* unweighted_heads(const State& state, const Step& step) {
    if (may_leave_out(state.options().non_finite)) {
      return "";
    }
    return step.summed->route == Route::fork ? ", or options.apply_to = fuller::ApplyTo::shared_only"
                                             : ", or options.apply_to = fuller::ApplyTo::all";
  }

  /// Refuses a term outside the sum, entered at `entry`, that reaches the fork or a parameter that will be changed.
  static void refuse_at(const State& state, const Step& step, const Node& reached,
                        const std::unordered_map<const void*, std::size_t>& changed, const Node& entry) {
    if (&reached == step.fork_node() && step.summed->route == Route::fork) {
      refuse_second_sum(step);
      fail("a term outside the calibration's sum of losses reads an output of fork(), at ", entry.name(),
           "; add that term to its task's loss, or, if it reads several tasks' (a consistency loss), to one of them or as a task "
           "of ",
           "its own, under options.surface = fuller::Surface::all_shared");
    }
    const at::Tensor* leaf = leaf_of(&reached);
    const auto place = leaf == nullptr ? changed.end() : changed.find(leaf->unsafeGetTensorImpl());
    if (place != changed.end()) {
      refuse_second_sum(step);
      fail(
          called(*state.names, *leaf), " of the head of '", state.tasks()[place->second],
          "' is also used by a term outside the calibration's sum of losses, at ", entry.name(),
          "; add that term to its task's loss (one over several heads under options.surface = fuller::Surface::all_shared), or, ",
          "for a regulariser of all parameters, use the optimiser's weight decay", unweighted_heads(state, step));
    }
  }

  /// Refuses, where a term outside the sum was found, two sums in one backward, which is what such a term then is.
  static void refuse_second_sum(const Step& step) {
    const auto* running = nodes_of_backward();
    for (const Node* node : *running) {
      if (node != step.summed->node && is_node_of<LossSum>(*node)) {
        fail(
            "two sums of losses are in one backward; call backward() on each by itself, and where they are of one fork() on the "
            "last alone");
      }
    }
  }
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
