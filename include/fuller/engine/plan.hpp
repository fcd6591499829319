// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <fuller/calibrators/rule.hpp>
#include <fuller/calibrators/weighting.hpp>
#include <fuller/engine/head_policy.hpp>
#include <fuller/engine/outcome.hpp>
#include <fuller/engine/task_rule.hpp>
#include <fuller/options.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// What a calibration was made with: never changes.
struct Plan {
  std::vector<std::string> tasks;
  TaskRule rule;
  CalibrationOptions options;
  Surface surface;
  ApplyTo apply_to;

  /// The sequence of random numbers of one tensor in a step, from those of other places and ranks apart.
  std::uint32_t sequence_of(std::size_t place) const {
    const Ranks& ranks = options.ranks;
    return static_cast<std::uint32_t>(place) * static_cast<std::uint32_t>(ranks.count) +
           static_cast<std::uint32_t>(ranks.rank < 0 ? 0 : ranks.rank);
  }

  HeadPolicy head_policy() const { return {apply_to, options.non_finite}; }

  /// Whether task gradients are compared in every step: because the policy must know which are not finite.
  bool always_measures() const { return looks_for_them(options.non_finite); }
  /// Whether they are ever.
  bool ever_measures() const { return always_measures() || rule.needs().gram || options.measure_every > 0; }

  /// Says what is to be done in the step that follows so many: whether task gradients are compared, and the rule asked.
  void begin(Outcome& outcome, std::int64_t steps) const {
    outcome.held = steps % options.every != 0;
    outcome.measured = always_measures() || (rule.needs().gram && !outcome.held) ||
                       (options.measure_every > 0 && steps % options.measure_every == 0);
  }
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
