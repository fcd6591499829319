// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>

#include <fuller/backward/modalities.hpp>
#include <fuller/backward/state.hpp>
#include <fuller/engine/task_engine.hpp>
#include <fuller/graph/gradient_substitutes.hpp>
#include <fuller/graph/sums_at_leaves.hpp>
#include <fuller/tensor/reductions.hpp>

// Where the weights are chosen at the losses: the gradients of the T passes, weighted, train shared parameters and heads, and the
// backward passes with nothing.

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// What task i's loss is multiplied with where the weights are chosen at the sum. A task whose shared gradient is zero is
/// weighted with what its head is to get, which changes nothing for the shared parameters.
inline double weight_at_loss(const State& state, const Verdict& verdict, std::size_t i) {
  return verdict.conditions[i] == Condition::zero && state.plan->apply_to == ApplyTo::all ? verdict.heads[i] : verdict.shared[i];
}

/// Whether a head gets another gradient than that of its weighted loss.
inline bool any_head_weighted_apart(const State& state, const Step& step) {
  const Verdict& verdict = step.pass.outcome.verdict;
  return std::any_of(step.summed->given.begin(), step.summed->given.end(), [&](std::size_t i) {
    const double of_head = state.plan->head_policy().weight(verdict, i);
    return weight_at_loss(state, verdict, i) != of_head && !std::isnan(of_head);
  });
}

/// sums_at_leaves() for all that the losses reach.
inline SumsAtLeaves sums_at_losses(const State& state, const Step& step, const std::vector<Edge>& loss_edges) {
  const Summed& summed = *step.summed;
  std::vector<Edge> leaves = summed.compared.edges;
  for (const auto& head : summed.heads) {
    for (const at::Tensor& parameter : head) {
      leaves.push_back(gradient_edge(parameter));
    }
  }
  return sums_at_leaves(loss_edges, leaves, *state.names, step.fork_node());
}

/// The gradient itself where nothing else reads its memory, else a copy in the parameter's layout.
inline at::Tensor own_gradient(at::Tensor&& gradient, const at::Tensor& parameter) {
  if (gradient.use_count() == 1 && gradient.storage().use_count() == 1 && gradient.is_non_overlapping_and_dense()) {
    return std::move(gradient);
  }
  return at::empty_like(parameter, gradient.options()).copy_(gradient);
}

/// Has shared parameters get the weighted sums of their task gradients, and those of heads their own, weighted, when the running
/// backward comes to them. A parameter whose every loss has weight 0 gets nothing, as in a pass.
inline void train_by_sums_at_losses(const State& state, Step& step, TaskTensors shared, TaskTensors of_heads) {
  const Summed& summed = *step.summed;
  const Verdict& verdict = step.pass.outcome.verdict;
  const auto sums = std::make_shared<GradientSubstitutes>();
  std::vector<double> weights;
  for (std::size_t i = 0; i < shared.size(); ++i) {
    weights.push_back(weight_at_loss(state, verdict, i));
    if (weights.back() == 0.0) {
      shared[i].clear();
    }
  }
  for (std::size_t k = 0; k < summed.compared.parameters.size(); ++k) {
    std::vector<at::Tensor> of_parameter;
    for (auto& of_task : shared) {
      of_parameter.push_back(of_task.empty() ? at::Tensor() : std::move(of_task[k]));
    }
    at::Tensor sum = weighted_sum(of_parameter, weights.data());
    if (sum.defined()) {
      sums->put_on_top(summed.compared.parameters[k], summed.compared.edges[k], std::move(sum));
    }
  }
  // Where one task is alone and nothing is known to be shared, what it reaches was compared and is its head: that decides.
  for (const std::size_t i : summed.given) {
    const double weight = state.plan->head_policy().weight(verdict, i);
    if (weight == 0.0 && weights[i] == 0.0) {
      continue;
    }
    for (std::size_t p = 0; p < of_heads[i].size(); ++p) {
      const at::Tensor& parameter = summed.heads[i][p];
      if (!of_heads[i][p].defined()) {
        continue;
      }
      at::Tensor gradient = own_gradient(std::move(of_heads[i][p]), parameter);
      if (weight == 0.0) {  // by selection: it may hold NaN
        gradient.zero_();
      } else if (weight != 1.0) {
        gradient.mul_(weight);
      }
      sums->put_on_top(parameter, gradient_edge(parameter), std::move(gradient));
    }
  }
  have_gates_scale(state, std::move(step.pass.branches), sums);
  at_end_of_backward([sums] { sums->remove(); });
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
