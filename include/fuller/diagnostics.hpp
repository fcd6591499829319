// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <fuller/calibrators/rule.hpp>
#include <fuller/calibrators/weighting.hpp>
#include <fuller/tensor/parameter_names.hpp>

namespace fuller {
inline namespace v0_1 {

/// Where a step's weights were chosen.
enum class Route {
  none,   ///< no step yet
  fork,   ///< where the T cotangents of the shared representation arrive: heads run once
  sum,    ///< at the losses, which share more than the trunk: heads run once, and once more where a further pass trains
  plain,  ///< nowhere: nothing shared is trained, each loss counts with its static weight, and no state moves
};

/// What the last step showed and did. What was not measured is NaN, a list of it empty. Lists of T entries are in the order of
/// `tasks`, lists of M entries in that of `modalities`.
struct Diagnostics {
  /// The value of what was not measured: NaN.
  static constexpr double none = std::numeric_limits<double>::quiet_NaN();

  std::vector<std::string> tasks;
  std::int64_t step = 0;        ///< steps taken so far; those of Route::plain do not count
  std::vector<double> weights;  ///< w_i on the shared parameters, of the losses as given; 0 for absent tasks
  /// What options.stage multiplied each task's gradient with when it was last present; it is a part of `weights`. 0 for a task
  /// that has none yet. Empty without a stage, and where the sum was plain.
  std::vector<double> stage_factors;
  std::int64_t held_for = 0;          ///< steps since the rule was asked: 0 in one in which it was (options.every)
  std::vector<double> head_weights;   ///< w_i on the heads; 1 where only shared parameters are weighted
  std::vector<Condition> conditions;  ///< used, absent, zero or non-finite
  std::vector<double> norms;          ///< |g_i| at the surface, without the loss scale
  std::vector<double> cosines;        ///< T x T, row major: <g_i, g_j> / (|g_i| |g_j|)
  double conflict_share = none;       ///< the share of pairs with a negative cosine among all pairs of present tasks
  /// Largest over smallest norm, >= 1. For two tasks this is FULLER's gamma_task (Eq. 2) of the raw gradients, or its inverse;
  /// `norms` tells which task leads.
  double gamma_task = none;
  double gamma_task_weighted = none;  ///< the same of w_i g_i
  /// Smallest over largest |w_i| of the used tasks, where there are two or more: near 0 some of them are almost left out.
  double weight_ratio = none;
  /// |sum_i w_i g_i| over the longest |g_i|. Near 0 the shared parameters hardly move, at a Pareto-stationary point or because
  /// weights vanish.
  double step_length = none;
  /// The used tasks that have no effect on the shared parameters: w_i g_i is no longer than a float's rounding error, 2^-24, of
  /// the longest. All used tasks, where the whole sum is no longer than that of the longest gradient.
  std::vector<std::string> stalled;

  Route route = Route::none;                ///< where the weights were chosen
  Surface compared = Surface::last_shared;  ///< what is compared: options.surface, or the surface the rule was published with
  /// The parameters whose task gradients were compared: found, or named. At Surface::representation the levels of z, without
  /// names; empty where the rule compares no gradients, and where nothing shared is trained.
  std::vector<NamedShape> surface;
  /// The trained parameters that count as shared: they lie upstream of the fork, or two losses reach them, in this step or (where
  /// the weights are chosen at the sum) an earlier one. A loss reaches them in the graph, even through an operation that gives no
  /// gradient.
  std::vector<NamedShape> shared;
  /// Weights that need no gradient and were passed over between z and the layer that was found; under the operation's name where
  /// the graph does not tell the parameter. Empty where the last layer was named, or is trained.
  std::vector<NamedShape> untrained;
  std::int64_t passes = 0;      ///< passes for task gradients inside the backward, besides the one that trains, if there is one
  std::int64_t bytes_kept = 0;  ///< bytes of the gradients that these passes formed and that were held at once
  /// Whether the weighted sum of the task gradients trained the shared parameters, without a further pass: always so at
  /// Surface::all_shared, unless `one_more` says why not, and where several backwards make a step.
  bool summed = false;
  std::string one_more;  ///< "a hook or retain_grad() on an activation, at TanhBackward0"; empty where nothing spoke against it
  std::int64_t micro_batches = 1;   ///< backwards of which the step was made: accumulate()
  std::int64_t gathered = 0;        ///< backwards since, of an unfinished step: its weights are not known yet
  std::int64_t bytes_averaged = 0;  ///< bytes that this rank gave to averages over the ranks in the step
  /// Which policy decided about a task in the step, in words: "Missing::hold: 'a' is alone"; empty where none did.
  std::string policy;

  std::vector<std::string> modalities;
  std::vector<double> gates;  ///< w_m, what each branch was multiplied with
  /// The scores that a gate law was shown, on several ranks their means; NaN where a branch had none. Empty for laws that compare
  /// norms.
  std::vector<double> branch_scores;
  std::vector<double> branch_norms;  ///< L2 norms of the fusion weight's gradient, branch by branch
  /// Largest over smallest norm, >= 1. For two branches this is FULLER's gamma_modal (Eq. 4), or its inverse; `branch_norms`
  /// tells which branch leads. The norm is the one that the gate law compares (GateNorm::rms: per element). A branch whose
  /// gradient is 0, NaN or infinite is left out; if that leaves fewer than two, the ratio is 1.
  double gamma_modal = none;
};

}  // namespace v0_1
}  // namespace fuller
