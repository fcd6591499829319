// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/backward/gathering.hpp>
#include <fuller/backward/idle_step.hpp>
#include <fuller/backward/measure_tasks.hpp>
#include <fuller/backward/ranks_in_step.hpp>
#include <fuller/backward/state.hpp>
#include <fuller/backward/sums_at_losses.hpp>
#include <fuller/core/error.hpp>
#include <fuller/tensor/ranks.hpp>
#include <fuller/tensor/reductions.hpp>

// What becomes of the gradients that the micro-batches of a step have brought: evidence, weights, and what the parameters get.

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// A parameter, and what it is to be trained with.
struct WeightedGradient {
  at::Tensor parameter;
  at::Tensor gradient;
};

/// Refuses to go on where a parameter was written between the micro-batches of a step: their gradients are of different weights,
/// and an optimiser that has stepped had none of them.
inline void expect_unwritten(const Gathering& gathering, const ParameterNames& names) {
  for (const GatheredGradient& entry : gathering.so_far.all) {
    if (entry.noted.is_written()) {
      fail(called(names, entry.parameter), " was written after micro-batch ", gathering.done, " of ", gathering.count,
           ", whose gradients wait for the last; take the optimiser's step after the last backward(), or set the number of ",
           "micro-batches that there is to each step: calibration.accumulate(", gathering.done, ")");
    }
  }
}

/// A parameter of two heads can only be told from a shared one where all that losses share is compared.
inline void expect_heads_apart(const State& state, const Gathered& all) {
  for (const GatheredGradient& entry : all.all) {
    if (entry.of_two_heads && state.plan->surface != Surface::all_shared) {
      fail(called(*state.names, entry.parameter), " is in the head of '", state.tasks()[entry.head_of],
           "' in one micro-batch, and in another head in another; give each head its own, or set options.surface = ",
           "fuller::Surface::all_shared");
    }
  }
}

/// What is compared, as in one batch of all samples: what was named, or found in any micro-batch, or, where all that is shared is
/// compared, what two tasks reach in whichever.
inline std::vector<at::Tensor> compared_in(State& state, const Gathered& all) {
  if (all.named || state.plan->surface != Surface::all_shared || state.options().ranks.average) {
    return all.compared;
  }
  std::vector<at::Tensor> shared;
  std::vector<at::Tensor> reached;
  for (const GatheredGradient& entry : all.all) {
    reached.push_back(entry.parameter);
    if (entry.shared) {
      shared.push_back(entry.parameter);
    }
  }
  return shared.empty() ? reached : shared;
}

/// What one sum() over all samples would know.
inline std::shared_ptr<const Summed> summed_of(State& state, const Gathered& all) {
  auto summed = std::make_shared<Summed>();
  auto seen = std::make_shared<Seen>(*all.seen);
  summed->route = all.route;
  summed->gathers = true;
  summed->losses.resize(state.tasks().size());
  for (std::size_t i = 0; i < state.tasks().size(); ++i) {
    if (all.present[i] != 0) {
      summed->given.push_back(i);
      summed->losses[i] = all.losses[i].defined() ? all.losses[i] / all.shares[i] : at::Tensor();
    }
  }
  summed->compared.named = all.named;
  summed->compared.parameters = compared_in(state, all);
  seen->surface.clear();
  for (const at::Tensor& parameter : summed->compared.parameters) {
    seen->surface.push_back(weak(parameter));
  }
  seen->shared.clear();
  for (const GatheredGradient& entry : all.all) {
    if (entry.shared) {
      seen->shared.push_back(weak(entry.parameter));
      if (all.route == Route::sum) {
        state.shared.insert(entry.parameter);
      }
    }
  }
  summed->seen = std::move(seen);
  return summed;
}

/// Each task's gradients of what is compared.
inline TaskTensors evidence_of(const State& state, const Gathered& all, const Summed& summed) {
  TaskTensors gradients(state.tasks().size());
  for (const std::size_t i : summed.given) {
    for (const at::Tensor& parameter : summed.compared.parameters) {
      const GatheredGradient* const entry = all.find(parameter);
      gradients[i].push_back(entry == nullptr ? at::Tensor() : entry->of_task[i]);
    }
    if (summed.route == Route::fork) {
      expect_reached(state, i, any_defined(gradients[i]));
    }
  }
  return gradients;
}

/// What the parameters get. Where weights are chosen at the losses, one whose every loss has weight 0 gets nothing, as in a pass.
inline std::vector<WeightedGradient> weighted_gradients(State& state, Gathered& all, Outcome& outcome) {
  const bool at_losses = all.route == Route::sum;
  std::vector<double> weights(state.tasks().size(), 0.0);
  if (at_losses) {
    state.engine->settle(outcome);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      weights[i] = weight_at_loss(state, outcome.verdict, i);
    }
  }
  std::vector<WeightedGradient> weighted;
  for (std::size_t k = 0; k < all.all.size(); ++k) {
    GatheredGradient& entry = all.all[k];
    const std::size_t i = entry.head_of;
    at::Tensor gradient;
    if (!entry.shared && at_losses) {
      const double weight = state.plan->head_policy().weight(outcome.verdict, i);
      gradient = weight == 0.0 && weights[i] == 0.0 ? at::Tensor() : std::move(entry.of_task[i]);
      if (gradient.defined()) {
        gradient = weight == 0.0 ? gradient.zero_() : gradient.mul_(weight);  // by selection: it may hold NaN
      }
    } else if (!entry.shared) {
      gradient = std::move(entry.of_task[i]);
      gradient = gradient.defined() ? state.engine->for_head(i, gradient, outcome) : gradient;
    } else if (at_losses) {
      for (std::size_t j = 0; j < weights.size(); ++j) {
        entry.of_task[j] = weights[j] == 0.0 ? at::Tensor() : entry.of_task[j];
      }
      gradient = weighted_sum(entry.of_task, weights.data());
    } else {
      gradient = state.engine->combined(entry.of_task, outcome, k);
    }
    entry.of_task.clear();
    if (gradient.defined()) {
      weighted.push_back({entry.parameter, std::move(gradient)});
    }
  }
  return weighted;
}

/// Asks the rule for the weights of all micro-batches together, and applies them.
/// @throws NonFiniteError under NonFinite::throw_error; no parameter has then got anything
inline std::vector<WeightedGradient> weigh_gathered(State& state) {
  Gathering& gathering = state.gathering;
  Gathered& all = gathering.so_far;
  state.shown.bytes_averaged = 0;
  if (all.seen == nullptr) {  // no micro-batch had a task
    if (state.options().ranks.average) {
      gathering.begin_anew();
      idle_step(state);
    }
    return {};
  }
  expect_heads_apart(state, all);
  Step whole;
  whole.summed = summed_of(state, all);
  Pass& pass = whole.pass;
  pass.outcome = Outcome(state.tasks().size());
  pass.outcome.present = all.present;
  pass.noted_scale = all.scale;
  pass.passes = all.passes;
  pass.bytes_kept = all.bytes();
  pass.summed = true;
  state.plan->begin(pass.outcome, state.engine->steps_begun());
  const bool at_losses = all.route == Route::sum;
  const bool of_z = !at_losses && state.plan->surface == Surface::representation;
  StepEvidence shown;
  for (std::size_t i = 0; i < all.present.size(); ++i) {
    if (all.present[i] == 0) {
      all.cotangents[i].clear();  // absent is not zero
    }
  }
  if (pass.outcome.measured) {
    shown.gradients = of_z ? std::move(all.cotangents) : evidence_of(state, all, *whole.summed);
    shown.of_own_samples = of_z;
  }
  shown.shares = all.shares;
  const RanksInStep ranks(state, whole, at_losses ? Doing::sum : Doing::fork);
  if (pass.outcome.measured && !of_z && state.options().ranks.average) {
    average_gradients_of_tasks(state, FlatLists(whole.summed->compared.parameters, shown.gradients.size()), pass.outcome.present,
                               shown.gradients);
  }
  weigh(state, whole, std::move(shown));
  state.shown.micro_batches = gathering.count;
  ranks.join_gates(state);
  return weighted_gradients(state, all, pass.outcome);
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
