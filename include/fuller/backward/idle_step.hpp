// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <fuller/backward/agreement.hpp>
#include <fuller/backward/layer_of_ranks.hpp>
#include <fuller/backward/measure_tasks.hpp>
#include <fuller/backward/plain_step.hpp>
#include <fuller/backward/ranks_at_gates.hpp>
#include <fuller/backward/ranks_in_step.hpp>
#include <fuller/backward/state.hpp>
#include <fuller/core/error.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Adds zeros to what the other ranks reduce in their backwards, and asks the rule as they do.
inline void idle_level(State& state, const Intent& busy, const Agreement& agreed) {
  Step step;
  auto summed = std::make_shared<Summed>();
  summed->route = busy.doing == Doing::fork ? Route::fork : busy.doing == Doing::sum ? Route::sum : Route::plain;
  summed->losses.assign(state.tasks().size(), at::Tensor());
  summed->seen = state.shown.seen;
  step.summed = std::move(summed);
  step.pass.outcome = Outcome(state.tasks().size());
  RanksInStep::apply(agreed, step.pass, state);
  if (busy.doing == Doing::plain) {
    const std::vector<Condition> of_all = agree_on_conditions(state, step.pass.outcome, {});
    expect_no_failure_anywhere(state, step.pass.outcome, of_all);
    state.show(step);
    state.shown.plain = step.pass.outcome;
    return;
  }
  Outcome& outcome = step.pass.outcome;
  state.plan->begin(outcome, state.engine->steps_begun());
  outcome.measured = busy.measured != 0;
  StepEvidence shown;
  if (outcome.measured) {
    shown.of_own_samples = busy.doing == Doing::fork && state.plan->surface == Surface::representation;
    shown.gradients.resize(state.tasks().size());
    if (step.pass.rows) {
      gather_rows(state, *step.pass.rows, outcome.present, shown);
    } else if (!shown.of_own_samples) {
      average_gradients_of_tasks(state, FlatLists(busy.floats, busy.doubles, at::kCPU, shown.gradients.size()), outcome.present,
                                 shown.gradients);
    }
  }
  weigh(state, step, std::move(shown));
}

/// A step of a rank that has no batch in it.
inline void idle_step(State& state) {
  const at::NoGradGuard no_grad;
  const Ranks& ranks = state.options().ranks;
  if (!ranks.average) {
    fail(
        "idle_step() of a calibration that is alone: it is for a rank without a batch where others have one; set options.ranks, ",
        "or leave it out");
  }
  if (ranks.rank < 0) {
    fail("idle_step() needs options.ranks.rank: ranks must know what each is about to do; give the rank, or make options.ranks ",
         "by fuller::ranks_of() or fuller::ranks_over()");
  }
  if (ranks.alike) {
    fail("idle_step() under options.ranks.alike, which promises that no rank idles; leave that at false");
  }
  ++state.backwards;
  state.shown.bytes_averaged = 0;
  Intent mine;
  mine.step = state.engine->steps_begun();
  const Agreement agreed = agree(state, std::move(mine));
  const Intent* busy = agreed.first_busy();
  if (busy == nullptr) {
    return;  // nobody has a batch: no step
  }
  if (busy->at_gate()) {
    take_part_in_gates(state, agreed);
    return;
  }
  idle_level(state, *busy, agreed);
  if (agreed.any_passes_gates()) {
    join_gates(state);
  }
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
