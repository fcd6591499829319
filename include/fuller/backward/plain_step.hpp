// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <fuller/backward/ranks_in_step.hpp>
#include <fuller/backward/state.hpp>
#include <fuller/engine/failures.hpp>
#include <fuller/graph/gradient_substitutes.hpp>
#include <fuller/graph/pull_back.hpp>
#include <fuller/tensor/ranks.hpp>
#include <fuller/tensor/reductions.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Tells, once for each calibration and through LibTorch's warnings, that a step is a plain sum.
inline void say_plain(State& state) {
  if (!state.said_plain) {
    state.said_plain = true;
    TORCH_WARN(
        "fuller: nothing that the losses share is trained (a frozen trunk, networks of their own), so there is nothing to "
        "calibrate: each loss counts with its static weight, and the rule '",
        state.plan->rule.name(),
        "' is not asked, until something shared is trained. This is said once; diagnostics().route shows it for each step");
  }
}

/// Static weights before and after the rule, which is as if it gave 1 to each task.
inline double static_weight(const CalibrationOptions& options, std::size_t task) {
  const auto of = [&](const TaskVector& values) { return values.empty() ? 1.0 : values[static_cast<int>(task)]; };
  return of(options.before) * of(options.after);
}

/// What a rank has seen of a task's gradient: whether it, or the loss, is not finite, and its squared length.
struct PlainEvidence {
  std::vector<double> bad;
  std::vector<double> squared;
};

/// What became of each task's evidence on all ranks together, absent where it was on none. Asked under the policies that look.
/// @param here  empty for a rank that has no task
inline std::vector<Condition> agree_on_conditions(const State& state, const Outcome& outcome, PlainEvidence here) {
  const std::size_t tasks = state.tasks().size();
  std::vector<Condition> conditions(tasks, Condition::absent);
  if (!looks_for_them(state.options().non_finite)) {
    return conditions;
  }
  here.bad.resize(tasks, 0.0);
  here.squared.resize(tasks, 0.0);
  if (state.options().ranks.average) {
    std::vector<double> both = here.bad;
    for (std::size_t i = 0; i < tasks; ++i) {
      both.push_back(here.bad[i] > 0 ? 0.0 : here.squared[i]);
    }
    average(state.options().ranks, both, {"which tasks are finite", state.engine->steps_begun()});
    std::copy_n(both.begin(), tasks, here.bad.begin());
    std::copy_n(both.begin() + static_cast<std::ptrdiff_t>(tasks), tasks, here.squared.begin());
  }
  for (std::size_t i = 0; i < tasks; ++i) {
    if (outcome.present[i] != 0) {
      conditions[i] = here.bad[i] > 0 ? Condition::non_finite : here.squared[i] > 0 ? Condition::used : Condition::zero;
    }
  }
  return conditions;
}

/// NonFinite::throw_error, the same on every rank.
inline void expect_no_failure_anywhere(const State& state, const Outcome& outcome, const std::vector<Condition>& conditions) {
  for (std::size_t i = 0; i < conditions.size() && throws(state.options().non_finite); ++i) {
    if (outcome.present[i] != 0 && is_failure(conditions[i])) {
      throw_failure(state.engine->steps_begun(), state.tasks()[i], conditions[i]);
    }
  }
}

/// Whether the gradients of what each task alone trains are zero or not finite; asked only under a policy that wants to know.
inline void find_conditions(State& state, Step& step, const std::vector<Edge>& loss_edges, const at::Tensor& scale) {
  const std::uint64_t before = nodes_made();
  PlainEvidence here{std::vector<double>(state.tasks().size(), 0.0), std::vector<double>(state.tasks().size(), 0.0)};
  const Summed& summed = *step.summed;
  for (std::size_t k = 0; k < summed.given.size(); ++k) {
    const std::size_t task = summed.given[k];
    std::vector<Edge> targets;
    for (const at::Tensor& parameter : summed.heads[task]) {
      targets.push_back(gradient_edge(parameter));
    }
    double squared = 0;
    const HooksAside aside(summed.heads[task]);
    const SentAgain to_losses({scale});
    std::vector<at::Tensor> gradients = pull_back({loss_edges[k]}, {scale}, targets, state.nested);
    to_losses.expect_unwritten("upstream of a loss");
    step.pass.count(gradients);
    gram_matrix({std::move(gradients)}, &squared);
    here.bad[task] = std::isfinite(squared) && std::isfinite(summed.losses[task].item<double>()) ? 0.0 : 1.0;
    here.squared[task] = squared;
  }
  if (nodes_made() != before) {
    fail(
        "a checkpoint ran its forward again while NonFinite::skip or throw_error looked at the tasks' gradients, and has added "
        "to ",
        ".grad once a task; zero the gradients, and use no checkpoint while nothing shared is trained, or NonFinite::propagate");
  }
  const std::vector<Condition> conditions = agree_on_conditions(state, step.pass.outcome, std::move(here));
  expect_no_failure_anywhere(state, step.pass.outcome, conditions);
  for (const std::size_t task : summed.given) {
    step.pass.outcome.verdict.conditions[task] = conditions[task];
  }
}

/// What the losses get in a step in which nothing that is shared is trained: the rule is not asked, no state moves, and the step
/// does not count. Whatever is trained belongs to one task, and its gradient is that task's own, times its static weights under
/// ApplyTo::all.
inline torch::autograd::variable_list plain_losses(State& state, Step& step, const std::vector<Edge>& loss_edges,
                                                   const at::Tensor& scale) {
  const Summed& summed = *step.summed;
  Verdict& plain = step.pass.outcome.verdict;
  for (const std::size_t task : summed.given) {
    plain.conditions[task] = Condition::used;
  }
  const NonFinite policy = state.options().non_finite;
  for (const std::size_t task : summed.given) {
    step.pass.outcome.present[task] = 1;
  }
  const RanksInStep ranks(state, step, Doing::plain);
  if (looks_for_them(policy)) {
    find_conditions(state, step, loss_edges, scale);
  }
  torch::autograd::variable_list to_losses;
  for (const std::size_t task : summed.given) {
    const bool skipped =
        leaves_out(policy, plain.conditions.data(), static_cast<int>(plain.conditions.size()), static_cast<int>(task));
    plain.shared[task] = skipped ? 0.0 : static_weight(state.options(), task);
    plain.heads[task] = skipped || state.plan->apply_to == ApplyTo::all ? plain.shared[task] : 1.0;
    const double at_loss = plain.heads[task];
    to_losses.push_back(at_loss == 0.0 ? at::Tensor() : at_loss == 1.0 ? scale : scale * at_loss);
  }
  to_losses.emplace_back();  // nothing for the step
  step.pass.outcome.weighed = true;
  state.show(step);
  state.shown.plain = step.pass.outcome;
  ranks.join_gates(state);
  return to_losses;
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
