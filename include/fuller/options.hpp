// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include <fuller/calibrators/rule.hpp>
#include <fuller/calibrators/weighting.hpp>
#include <fuller/core/error.hpp>
#include <fuller/tensor/ranks.hpp>

namespace fuller {
inline namespace v0_1 {

/// How many gradients of all shared parameters are held at once while their Gram matrix is formed.
enum class TaskMemory {
  /// T task gradients, each of all shared parameters, from T passes; their weighted sum trains. Memory: T times the parameters.
  /// Where those are linear layers of few rows, none is formed, and a pass trains.
  all_layers,
  /// The T tasks pass the trunk together, and each layer's T gradients are let go of when they have been compared; a further pass
  /// trains. Memory: T times the largest layer, and T gradients of activations in place of one.
  layer_by_layer,
};

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
  /// Which gradients are held at once, at Surface::all_shared. TaskMemory::layer_by_layer is for trunks of which T gradients are
  /// too large; it goes with neither ranks nor accumulate(), which need them whole.
  TaskMemory memory = TaskMemory::all_layers;
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
template <class Rule>
void expect_sense(const CalibrationOptions& options, Surface surface) {
  constexpr Needs needs = Rule::needs;
  const char* const rule = Rule::name;
  if (options.measure_every < 0) {
    fail("options.measure_every is ", options.measure_every, "; a number of steps, or 0 for never, is needed");
  }
  if (options.every < 1) {
    fail("options.every is ", options.every, "; the rule is asked in one of so many steps: 1 for each of them");
  }
  if (!(options.smoothing >= 0 && options.smoothing < 1)) {
    fail("options.smoothing is ", options.smoothing, "; a share of the weights that stays, in [0, 1), is needed");
  }
  expect_sense(options.ranks, "options.ranks");
  if (options.memory == TaskMemory::layer_by_layer && surface != Surface::all_shared) {
    fail("options.memory is TaskMemory::layer_by_layer, but task gradients are compared at ",
         surface == Surface::representation ? "Surface::representation, where none of parameters are formed"
                                            : "Surface::last_shared, which is one layer",
         "; leave it out, or set options.surface = fuller::Surface::all_shared");
  }
  if (options.memory == TaskMemory::layer_by_layer && options.ranks.average) {
    fail("options.memory is TaskMemory::layer_by_layer, which keeps no task gradients, and ranks average those; choose ",
         "TaskMemory::all_layers, or a surface at which ranks send little: Surface::representation");
  }
  if (options.last_shared_bias && surface != Surface::last_shared) {
    fail("options.last_shared_bias is set, but task gradients are compared at ",
         surface == Surface::representation ? "Surface::representation, which has no parameters"
                                            : "Surface::all_shared, where every shared bias counts anyway",
         "; leave it out, or set options.surface = fuller::Surface::last_shared");
  }
  if (options.last_shared_bias && !needs.gram && options.measure_every == 0 && options.non_finite == NonFinite::propagate &&
      !reads_norms(options.stage)) {
    fail("options.last_shared_bias is set, but '", rule, "' compares no task gradients; leave it out, or have them compared for ",
         "the diagnostics, by options.measure_every");
  }
  if (options.stage == LossStage::log && rule_needs_positive_losses<Rule>::value) {
    fail("options.stage is LossStage::log, and '", rule, "' is made for losses > 0, which logarithms are not; choose another ",
         "stage, or none: this rule cares for the losses' units itself");
  }
  if (options.stage == LossStage::loss && needs.losses && !needs.gram) {
    fail("options.stage is LossStage::loss, which divides each loss by itself, and '", rule,
         "', which compares losses, would see 1 for each; choose another stage, a rule that compares gradients, or, for losses ",
         "that are divided by themselves and nothing else, fuller::Uniform()");
  }
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
