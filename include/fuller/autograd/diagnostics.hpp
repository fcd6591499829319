// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <fuller/autograd/branch_gate.hpp>
#include <fuller/autograd/step.hpp>
#include <fuller/calibrators/weighting.hpp>

namespace fuller {

/// What the last step showed and did. Entries for what was not measured are NaN, lists of it empty; T entries are in the order of
/// `tasks`, M entries in that of `modalities`.
struct Diagnostics {
  static constexpr double none = std::numeric_limits<double>::quiet_NaN();

  std::vector<std::string> tasks;
  std::int64_t step = 0;              ///< steps taken so far
  std::vector<double> weights;        ///< w_i on the shared parameters; 0 for absent tasks
  std::vector<double> head_weights;   ///< w_i on the heads; 1 where only shared parameters are weighted
  std::vector<Condition> conditions;  ///< used, absent, zero or non-finite
  std::vector<double> norms;          ///< |g_i| at the surface, without the loss scale
  std::vector<double> cosines;        ///< T x T, row major: <g_i, g_j> / (|g_i| |g_j|)
  double conflict_share = none;       ///< pairs with a negative cosine among all pairs of present tasks
  double gamma_task = none;           ///< largest over smallest norm: FULLER's gamma_task (Eq. 2) of the raw gradients, >= 1
  double gamma_task_weighted = none;  ///< the same of w_i g_i
  std::vector<std::string> modalities;
  std::vector<double> gates;         ///< w_m
  std::vector<double> branch_norms;  ///< norms of the fusion weight's gradient, branch by branch
  double gamma_modal = none;         ///< largest over smallest of them (Eq. 4), >= 1
};

namespace detail {

inline void describe_tasks(const State& state, Diagnostics& out) {
  const std::size_t count = state.tasks.size();
  out.tasks = state.tasks;
  out.step = state.step;
  out.weights = state.rule.verdict.shared;
  for (std::size_t i = 0; i < count; ++i) {
    out.head_weights.push_back(head_weight(state, i));
  }
  out.conditions = state.rule.verdict.conditions;
  if (!state.measured) {
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
    if (state.present[i] == 0) {
      continue;
    }
    const double norm = std::sqrt(state.gram[i * count + i]);
    const double weighted = std::abs(out.weights[i]) * norm;
    out.norms[i] = norm / state.loss_scale;
    least = std::min(least, norm);
    most = std::max(most, norm);
    least_weighted = std::min(least_weighted, weighted);
    most_weighted = std::max(most_weighted, weighted);
    for (std::size_t j = 0; j <= i; ++j) {
      if (state.present[j] == 0) {
        continue;
      }
      const double dot = state.gram[i * count + j];
      out.cosines[i * count + j] = out.cosines[j * count + i] = dot / (norm * std::sqrt(state.gram[j * count + j]));
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
