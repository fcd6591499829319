// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>

#include <fuller/backward/state.hpp>
#include <fuller/diagnostics.hpp>
#include <fuller/engine/plan.hpp>
#include <fuller/engine/record.hpp>

// How what a step showed and did becomes diagnostics.

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Which policies decided about a task.
inline std::string policies_that_acted(const Plan& plan, const Diagnostics& out) {
  std::string text;
  const auto say = [&](const std::string& policy, std::size_t task, const char* what) {
    text += (text.empty() ? "" : "; ") + policy + ": '" + plan.tasks[task] + "' " + what;
  };
  const auto is_used = [](Condition condition) { return condition == Condition::used; };
  const auto used = std::count_if(out.conditions.begin(), out.conditions.end(), is_used);
  for (std::size_t i = 0; i < out.conditions.size(); ++i) {
    if (out.conditions[i] == Condition::non_finite) {
      say(name_of(plan.options.non_finite), i,
          reads_losses(plan.options.stage)
              ? "has a gradient or loss that is NaN or infinite, or a loss that the stage cannot take, <= 0"
              : "has a gradient or loss that is NaN or infinite");
    } else if (out.conditions[i] == Condition::zero) {
      say("zero gradient", i, "is left out of the rule");
    } else if (used == 1 && is_used(out.conditions[i]) && plan.tasks.size() > 1 && out.route != Route::plain) {
      say(plan.options.missing == Missing::hold ? "Missing::hold" : "Missing::renormalise", i, "is alone");
    }
  }
  return text;
}

/// What became of the used tasks' weights, and of the step that they make.
inline void describe_reach(const Outcome& last, Diagnostics& out) {
  constexpr double reach = 1.0 / (1 << 24);  // of a float: what is shorter leaves a sum as it is
  const std::size_t count = out.tasks.size();
  const auto is_used = [&](std::size_t i) { return out.conditions[i] == Condition::used; };
  double least = std::numeric_limits<double>::infinity();
  double most = 0;
  int used = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (is_used(i)) {
      least = std::min(least, std::abs(out.weights[i]));
      most = std::max(most, std::abs(out.weights[i]));
      ++used;
    }
  }
  if (used > 1 && most > 0) {
    out.weight_ratio = least / most;
  }
  if (!last.measured) {
    return;
  }
  double squared = 0;
  double longest = 0;
  double longest_weighted = 0;
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = 0; j < count && is_used(i); ++j) {
      squared += is_used(j) ? out.weights[i] * out.weights[j] * last.gram[i * count + j] : 0.0;
    }
    if (is_used(i)) {
      const double norm = std::sqrt(last.gram[i * count + i]);
      longest = std::max(longest, norm);
      longest_weighted = std::max(longest_weighted, std::abs(out.weights[i]) * norm);
    }
  }
  if (!(longest > 0)) {
    return;
  }
  out.step_length = std::sqrt(std::max(squared, 0.0)) / longest;
  for (std::size_t i = 0; i < count; ++i) {
    const double norm = std::sqrt(last.gram[i * count + i]);
    if (is_used(i) && (std::abs(out.weights[i]) * norm <= reach * longest_weighted || out.step_length <= reach)) {
      out.stalled.push_back(out.tasks[i]);
    }
  }
}

inline void describe_surface(const Plan& plan, const ParameterNames& names, const Shown& step, Diagnostics& out) {
  out.route = step.route;
  out.compared = plan.surface;
  out.surface = plan.surface == Surface::representation && step.route != Route::sum ? step.seen->representation
                                                                                    : shown(names, step.seen->surface);
  out.shared = shown(names, step.seen->shared);
  out.untrained = step.seen->untrained;
  out.passes = step.passes;
  out.bytes_kept = step.bytes_kept;
  out.summed = step.summed;
  out.one_more = step.one_more;
  out.bytes_averaged = step.bytes_averaged;
  out.micro_batches = step.micro_batches;
  out.gathered = step.gathered;
  out.policy = policies_that_acted(plan, out);
}

/// @param step    what the last step was, in this process
/// @param record  what the engine knows
inline void describe_tasks(const Plan& plan, const ParameterNames& names, const Shown& step, const Record& record,
                           Diagnostics& out) {
  const std::size_t count = plan.tasks.size();
  const bool is_plain = step.route == Route::plain;
  const Outcome& last = is_plain ? step.plain : record.last;
  const HeadPolicy policy = plan.head_policy();
  out.tasks = plan.tasks;
  out.step = record.memory.steps;
  out.weights = last.verdict.shared;
  out.stage_factors = is_plain ? std::vector<double>() : plan.rule.stage_factors(record.memory.rule);
  out.held_for = is_plain ? 0 : plan.rule.held_for(record.memory.rule);
  out.conditions = last.verdict.conditions;
  for (std::size_t i = 0; i < count; ++i) {
    const double of_head = last.verdict.heads[i];
    out.head_weights.push_back(is_plain ? of_head : policy.weight(last.verdict, i));
  }
  describe_surface(plan, names, step, out);
  describe_reach(last, out);
  if (!last.measured) {
    return;
  }
  out.norms.assign(count, Diagnostics::none);
  out.cosines.assign(count * count, Diagnostics::none);
  double least = std::numeric_limits<double>::infinity();
  double most = 0;
  double least_weighted = least;
  double most_weighted = 0;
  int pairs = 0;
  int conflicts = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (last.present[i] == 0) {
      continue;
    }
    const double norm = std::sqrt(last.gram[i * count + i]);
    const double weighted = std::abs(out.weights[i]) * norm;
    out.norms[i] = last.loss_scale > 0 ? norm / last.loss_scale : Diagnostics::none;
    least = std::min(least, norm);
    most = std::max(most, norm);
    least_weighted = std::min(least_weighted, weighted);
    most_weighted = std::max(most_weighted, weighted);
    for (std::size_t j = 0; j <= i; ++j) {
      if (last.present[j] == 0) {
        continue;
      }
      const double dot = last.gram[i * count + j];
      out.cosines[i * count + j] = out.cosines[j * count + i] = dot / (norm * std::sqrt(last.gram[j * count + j]));
      if (j < i) {
        ++pairs;
        conflicts += dot < 0 ? 1 : 0;
      }
    }
  }
  out.conflict_share = pairs > 0 ? static_cast<double>(conflicts) / pairs : Diagnostics::none;
  if (pairs > 0) {
    out.gamma_task = most / least;
    out.gamma_task_weighted = most_weighted / least_weighted;
  }
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
