// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include <fuller/calibrators/rule.hpp>
#include <fuller/calibrators/weighting.hpp>
#include <fuller/core/error.hpp>
#include <fuller/tensor/ranks.hpp>

namespace fuller {
inline namespace v0_1 {

/// How a Calibration gathers evidence and applies weights. Surface and reach default to what the rule was published with.
struct CalibrationOptions {
  /// Where task gradients are compared. Not given: the surface the rule was published with.
  std::optional<Surface> surface{};
  /// What the weights multiply. Not given: as the rule was published.
  std::optional<ApplyTo> apply_to{};
  /// What a task weighs when it is alone in a step.
  Missing missing = Missing::hold;
  /// What is done about zero, NaN and infinite gradients and losses.
  NonFinite non_finite = NonFinite::propagate;
  /// What is done to the losses before anything else, for any rule: a logarithm, or a division.
  LossStage stage = LossStage::none;
  /// Static task weights multiplied into the losses before the rule sees them (FULLER's 1:1, 1:5, 1:10); one per task or none.
  TaskVector before{};
  /// Static task weights multiplied into the rule's weights; one per task or none.
  TaskVector after{};
  /// Whether the bias of the last shared layer is compared too, where the layer is found and not named. FULLER compares the
  /// weight alone. Only for Surface::last_shared.
  bool last_shared_bias = false;
  /// Forms the Gram matrix every so many steps even for a rule that does not need it, for the diagnostics; 0: never.
  int measure_every = 0;
  /// How often the rule is asked: in the first of every so many steps, counted over the whole run, >= 1. In the others no task
  /// gradients are compared, weights are held, and the backward costs what a plain one does. A task that is absent in a step has
  /// weight 0 in it; WeightingOptions::every says what the others have. Policies that look for NaN (NonFinite::skip,
  /// throw_error) compare task gradients in each step all the same.
  int every = 1;
  /// How much of the weights stays where the rule gives new ones, in [0, 1): w becomes smoothing w + (1 - smoothing) w'.
  double smoothing = 0;
  /// Data-parallel training.
  Ranks ranks{};
  /// A task gradient no longer than this share of the longest counts as zero, in [0, 1). The default is what rounding leaves in
  /// doubles where exact arithmetic gives 0; see WeightingOptions.
  double zero_below = WeightingOptions().zero_below;
};

namespace detail {

/// Refuses options that mean nothing, or something else than they seem to.
inline void expect_sense(const CalibrationOptions& options, Surface surface) {
  if (options.measure_every < 0) {
    fail("options.measure_every is ", options.measure_every, "; a number of steps, or 0 for never, is needed");
  }
  if (options.every < 1) {
    fail("options.every is ", options.every, "; the rule is asked in one of so many steps: 1 for each of them");
  }
  if (!(options.smoothing >= 0 && options.smoothing < 1)) {
    fail("options.smoothing is ", options.smoothing, "; a share of the weights that stays, in [0, 1), is needed");
  }
  const Ranks& ranks = options.ranks;
  if (ranks.count < 1) {
    fail("options.ranks.count is ", ranks.count, "; it is the number of ranks, 1 for a trainer that is alone");
  }
  if (ranks.count > 1 && !ranks.average) {
    fail("options.ranks.count is ", ranks.count, ", but options.ranks.average is not given; give the function that replaces ",
         "tensors by their mean over the ranks, or leave the count at 1");
  }
  if (ranks.count == 1 && ranks.average) {
    fail("options.ranks.average is given, but options.ranks.count is 1; give the number of ranks that it averages over, or, for ",
         "a single one, no function");
  }
  if (ranks.rank < -1 || ranks.rank >= ranks.count) {
    fail("options.ranks.rank is ", ranks.rank, " of ", ranks.count, "; ranks count from 0, and -1 means that it is not known");
  }
  if (options.last_shared_bias && surface != Surface::last_shared) {
    fail("options.last_shared_bias is set, but task gradients are compared at ",
         surface == Surface::representation ? "Surface::representation, which has no parameters"
                                            : "Surface::all_shared, where every shared bias counts anyway",
         "; leave it out, or set options.surface = fuller::Surface::last_shared");
  }
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
