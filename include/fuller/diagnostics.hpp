// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <fuller/backward/branch_gate.hpp>
#include <fuller/backward/step.hpp>
#include <fuller/calibrators/weighting.hpp>

namespace fuller {

/// Where a step's weights were chosen.
enum class Route {
  none,   ///< no step yet
  fork,   ///< where the T cotangents of the shared representation arrive: heads run once
  sum,    ///< at the losses, which share more than the trunk: heads run once more for the T gradients
  plain,  ///< nowhere: nothing that is shared is trained, each loss counted with its static weight, and no state moved
};

/// What the last step showed and did. Entries for what was not measured are NaN, lists of it empty; T entries are in the order of
/// `tasks`, M entries in that of `modalities`.
struct Diagnostics {
  static constexpr double none = std::numeric_limits<double>::quiet_NaN();

  std::vector<std::string> tasks;
  std::int64_t step = 0;              ///< steps taken so far; those of Route::plain do not count
  std::vector<double> weights;        ///< w_i on the shared parameters; 0 for absent tasks
  std::vector<double> head_weights;   ///< w_i on the heads; 1 where only shared parameters are weighted
  std::vector<Condition> conditions;  ///< used, absent, zero or non-finite
  std::vector<double> norms;          ///< |g_i| at the surface, without the loss scale
  std::vector<double> cosines;        ///< T x T, row major: <g_i, g_j> / (|g_i| |g_j|)
  double conflict_share = none;       ///< pairs with a negative cosine among all pairs of present tasks
  /// Largest over smallest norm, >= 1: of two tasks FULLER's gamma_task (Eq. 2) of the raw gradients, or its inverse; `norms`
  /// tells which task leads.
  double gamma_task = none;
  double gamma_task_weighted = none;  ///< the same of w_i g_i

  Route route = Route::none;                ///< where the weights were chosen
  Surface compared = Surface::last_shared;  ///< what is compared: options.surface, or the rule's own
  /// The parameters whose task gradients were compared: found, or named. At Surface::representation the levels of z, without
  /// names; empty where the rule compares no gradients, and where nothing shared is trained.
  std::vector<NamedShape> surface;
  /// The trained parameters that count as shared: they lie behind the fork, or two losses reach them, in this step or (where the
  /// weights are chosen at the sum) an earlier one. Reached is meant in the graph: an operation that gives no gradient is passed
  /// too.
  std::vector<NamedShape> shared;
  /// Weights that need no gradient, passed on the way from z to the layer that was found; the name is the operation's where the
  /// graph does not tell the parameter. Empty where the last layer was named, or is trained.
  std::vector<NamedShape> untrained;
  std::int64_t passes = 0;      ///< passes for task gradients inside the backward, beside the one that trains
  std::int64_t bytes_kept = 0;  ///< bytes of the gradients that they formed and held at once
  /// Which policy decided about a task in the step, in words: "Missing::hold: 'a' is alone"; empty where none had to.
  std::string policy;

  std::vector<std::string> modalities;
  std::vector<double> gates;         ///< w_m
  std::vector<double> branch_norms;  ///< norms of the fusion weight's gradient, branch by branch
  /// Largest over smallest of them, >= 1: of two branches FULLER's gamma_modal (Eq. 4), or its inverse; `branch_norms` tells
  /// which branch leads.
  double gamma_modal = none;
};

namespace detail {

/// Which policies decided about a task.
inline std::string policies_that_acted(const State& state, const Diagnostics& out) {
  std::string text;
  const auto say = [&](const std::string& policy, std::size_t task, const char* what) {
    text += (text.empty() ? "" : "; ") + policy + ": '" + state.tasks[task] + "' " + what;
  };
  const NonFinite policy = state.options.non_finite;
  const auto is_used = [](Condition condition) { return condition == Condition::used; };
  const auto used = std::count_if(out.conditions.begin(), out.conditions.end(), is_used);
  for (std::size_t i = 0; i < out.conditions.size(); ++i) {
    if (out.conditions[i] == Condition::non_finite) {
      say(policy == NonFinite::skip          ? "NonFinite::skip"
          : policy == NonFinite::throw_error ? "NonFinite::throw_error"
                                             : "NonFinite::propagate",
          i, "has a gradient or loss that is NaN or infinite");
    } else if (out.conditions[i] == Condition::zero) {
      say("zero gradient", i, "is left out of the rule");
    } else if (used == 1 && is_used(out.conditions[i]) && state.tasks.size() > 1 && state.route != Step::Route::plain) {
      say(state.options.missing == Missing::hold ? "Missing::hold" : "Missing::renormalise", i, "is alone");
    }
  }
  return text;
}

inline void describe_surface(const State& state, Diagnostics& out) {
  switch (state.route) {
    case Step::Route::undecided:
      out.route = Route::none;
      break;
    case Step::Route::fork:
      out.route = Route::fork;
      break;
    case Step::Route::sum:
      out.route = Route::sum;
      break;
    case Step::Route::plain:
      out.route = Route::plain;
      break;
  }
  out.compared = state.surface;
  out.surface = state.surface == Surface::representation && state.route != Step::Route::sum
                    ? state.seen->representation
                    : shown(*state.names, state.seen->surface);
  out.shared = shown(*state.names, state.seen->shared);
  out.untrained = state.seen->untrained;
  out.passes = state.passes;
  out.bytes_kept = state.bytes_kept;
  out.policy = policies_that_acted(state, out);
}

inline void describe_tasks(const State& state, Diagnostics& out) {
  const std::size_t count = state.tasks.size();
  const bool is_plain = state.route == Step::Route::plain;
  const Outcome& last = state.last;
  out.tasks = state.tasks;
  out.step = state.step;
  out.weights = is_plain ? state.plain.shared : last.verdict.shared;
  for (std::size_t i = 0; i < count; ++i) {
    out.head_weights.push_back(is_plain ? state.plain.heads[i] : head_weight(state, last, i));
  }
  out.conditions = is_plain ? state.plain.conditions : last.verdict.conditions;
  describe_surface(state, out);
  if (!last.measured || is_plain) {
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
    out.norms[i] = norm / last.loss_scale;
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

inline void describe_modalities(const Modalities& modalities, Diagnostics& out) {
  out.modalities = modalities.names;
  out.gates = modalities.scales;
  double least = std::numeric_limits<double>::infinity();
  double most = 0;
  int seen = 0;
  for (std::size_t m = 0; m < modalities.names.size(); ++m) {
    const bool here = modalities.present[m] != 0;
    out.branch_norms.push_back(here ? std::sqrt(modalities.squared_norms[m]) : Diagnostics::none);
    if (here) {
      ++seen;
      least = std::min(least, out.branch_norms.back());
      most = std::max(most, out.branch_norms.back());
    }
  }
  out.gamma_modal = seen > 1 ? most / least : Diagnostics::none;
}

}  // namespace detail
}  // namespace fuller
