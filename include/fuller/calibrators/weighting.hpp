// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include <fuller/calibrators/loss_stage.hpp>
#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/policies.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/scratch.hpp>
#include <fuller/core/task_vector.hpp>

namespace fuller {
inline namespace v0_1 {

/// What a task weighs in a step from which others are absent.
enum class Missing {
  /// A task that is alone in a step keeps the weight it last had: where gradients are 20 times apart, a weight of 1 would make a
  /// step 20 times too long. Two or more are weighted by the rule as if the others did not exist.
  hold,
  /// The others do not exist: a task that is alone gets what the rule gives to a single task. Where a rule's weights add up to
  /// the number of tasks, those of the present tasks add up to the number of present tasks.
  renormalise,
};

/// Options of Weighting; initialise() refuses those out of range.
struct WeightingOptions {
  Missing missing = Missing::hold;
  NonFinite non_finite = NonFinite::propagate;
  /// What is done to the losses first of all; static weights before the rule multiply the result.
  LossStage stage = LossStage::none;
  /// T static task weights that the rule sees as part of the loss: L_i becomes s_i L_i. FULLER's 1:1, 1:5, 1:10 go here, and
  /// IMTL-G cancels their ratio. Empty: all 1.
  TaskVector before;
  /// T static task weights that multiply the rule's weights: what most users mean by a task weight. Empty: all 1.
  TaskVector after;
  /// A gradient no longer than this share of the longest in the step counts as zero, in [0, 1); with 0 only exact zeros do.
  ///
  /// Where exact arithmetic gives 0 (group norm of one element, a softmax over one class, a term that cancels), doubles leave up
  /// to a thousand rounding errors, 1e-13, and a rule that divides by norms would give such a task all the weight. Losses in
  /// units 1e12 apart are not affected. Gradients formed in float leave 1e-9 to 1e-3 there, which no share can tell from a task
  /// in small units: choose 1e-4 or so if a task may be without a gradient and the others' units are similar, or leave its loss
  /// out of that step.
  double zero_below = detail::zero_gradient;
  /// The rule is asked in one of so many steps, >= 1; the caller marks the other steps by Evidence::held. In these each present
  /// task has the weight that the rule gave it last (1 if it never did), times its static weights. Where a rule's weights add up
  /// to the number of tasks, they add up to the number of present tasks under Missing::renormalise, as when the rule is asked.
  int every = 1;
  /// How much of a task's weight stays when the rule gives it a new one, in [0, 1): w becomes smoothing w + (1 - smoothing) w'.
  /// These are the rule's weights, before static ones multiply them. The first weight that a task gets counts in full. (CR-MOGM's
  /// lambda.)
  double smoothing = 0;
};

/// Where a call of Weighting writes.
struct WeightsView {
  double* shared;         ///< T weights of the shared parameters' gradients
  double* heads;          ///< T weights of the heads' gradients, for `ApplyTo::all`
  Condition* conditions;  ///< T conditions
};

namespace detail {

template <class Rule, class = void>
struct rule_heads_may_ascend : std::false_type {};
template <class Rule>
struct rule_heads_may_ascend<Rule, std::void_t<decltype(std::declval<const Rule&>().heads_may_ascend())>> : std::true_type {};

template <class Rule, class = void>
struct rule_weights_sum_to_tasks : std::false_type {};
template <class Rule>
struct rule_weights_sum_to_tasks<Rule, std::void_t<decltype(Rule::weights_sum_to_tasks)>>
    : std::bool_constant<Rule::weights_sum_to_tasks> {};

template <class Rule, class = void>
struct rule_learns_after : std::false_type {};
template <class Rule>
struct rule_learns_after<Rule,
                         std::void_t<decltype(std::declval<const Rule&>().after_step(
                             std::declval<const Evidence<>&>(), static_cast<double*>(nullptr), static_cast<double*>(nullptr)))>>
    : std::true_type {};

}  // namespace detail

/// A rule under the policies that all rules share: static task weights, tasks missing from a step, zero and non-finite gradients.
///
/// One call:
/// 0. A loss stage gives each loss its form, L_i, and its gradient a factor d_i. Without a stage L_i is the raw loss, d_i = 1.
/// 1. Each task's condition is found.
/// 2. The rule sees the `used` tasks alone, with M_ij s_i d_i s_j d_j and s_i L_i for static weights s before it.
/// 3. Shared weights, which multiply the raw losses, are the rule's times s_i d_i a_i, with a the static weights after it. Every
///    other task gets 0.
/// 4. Head weights are the shared ones, but at least 0 unless the rule says that heads may be trained uphill
///    (`bool heads_may_ascend() const`).
///
/// A task with a zero gradient may still have a head to train. Its head gets the weight the task last had, or s_i a_i, times d_i
/// (where d_i is made of norms, that of the last step with a gradient). Where all gradients are zero, the surface says nothing
/// about the other shared parameters (its input may be zero), and these get that weight too. All choices are selections: nothing
/// is ever multiplied by 0, and a NaN that is skipped reaches no other number.
///
/// The weight a task "last had" is its last positive shared weight, of its loss after the stage: a weight that a rule made
/// negative or 0 to resolve a conflict means nothing when the others are absent. Tasks that are not used keep their state.
///
/// Zero and NaN gradients are found in the Gram matrix: under `skip` and `throw_error` wherever it is given, under `propagate`
/// only for a rule that needs it (a plain sum propagates by itself). NaN losses are found for a rule, or a stage, that needs the
/// losses. A loss that the stage cannot take, since its logarithm or quotient is no number > 0, is `non_finite` too.
///
/// Deterministic, no allocation, host and device. State: the rule's; then T last weights; with a stage, its T last factors d_i
/// (0: none yet); and where weights are held or smoothed, T held weights, T numbers of steps in which each was given, and the
/// number of steps since the rule was asked.
template <class Rule>
class Weighting {
 public:
  Weighting() = default;
  explicit Weighting(const Rule& rule, const WeightingOptions& options = {}) : rule_(rule), options_(options) {}

  FULLER_HD const Rule& rule() const { return rule_; }
  FULLER_HD const WeightingOptions& options() const { return options_; }

  /// What rule and stage must be shown.
  FULLER_HD Needs needs() const {
    return {Rule::needs.gram || detail::reads_norms(options_.stage), Rule::needs.losses || detail::reads_losses(options_.stage)};
  }

  FULLER_HD int state_size(int tasks) const { return held_at(tasks) + (keeps_weights() ? 2 * tasks + 1 : 0); }
  FULLER_HD int scratch_size(int tasks) const {
    return tasks * tasks + 2 * tasks + (staged() ? 2 * tasks : 0) + detail::doubles_for_bytes(tasks) + rule_.state_size(tasks) +
           rule_.scratch_size(tasks);
  }
  /// Writes the state before the first step.
  /// @throws Error for what the rule refuses, for static weights that are not one finite number >= 0 per task, and for options
  /// out of their range.
  void initialise(int tasks, double* state) const {
    detail::require_task_count(Rule::name, tasks);
    detail::require_one_per_task("option before", options_.before, tasks, false);
    detail::require_one_per_task("option after", options_.after, tasks, false);
    detail::require("option zero_below", options_.zero_below, options_.zero_below >= 0 && options_.zero_below < 1, "[0, 1)");
    detail::require("option every", options_.every, options_.every >= 1, ">= 1");
    detail::require("option smoothing", options_.smoothing, options_.smoothing >= 0 && options_.smoothing < 1, "[0, 1)");
    rule_.initialise(tasks, state);
    for (int k = rule_.state_size(tasks); k < state_size(tasks); ++k) {
      state[k] = 0;
    }
  }

  /// Refuses a state that no step leaves, such as that of a damaged file.
  /// @throws Error for a last weight, factor or count that is negative or not finite, and for what the rule refuses in its part
  /// (`void check_state(int tasks, const double* state) const`, where it has one).
  void check_state(int tasks, const double* state) const {
    if constexpr (detail::rule_checks_state<Rule>::value) {
      rule_.check_state(tasks, state);
    }
    const double* const last = state + rule_.state_size(tasks);
    for (int i = 0; i < tasks; ++i) {
      detail::require_saved(Rule::name, "last weight", i, last[i], detail::is_finite(last[i]) && last[i] >= 0);
    }
    for (int i = 0; i < (staged() ? tasks : 0); ++i) {
      const double factor = last[tasks + i];
      detail::require_saved(Rule::name, "loss stage's factor", i, factor, detail::is_finite(factor) && factor >= 0);
    }
    const double* const held = state + held_at(tasks);
    for (int i = 0; i < (keeps_weights() ? tasks : 0); ++i) {
      const double given = held[tasks + i];
      detail::require_saved(Rule::name, "held weight", i, held[i], detail::is_finite(held[i]));
      detail::require_saved(Rule::name, "number of weights", i, given, detail::is_finite(given) && given >= 0);
      detail::require_saved(Rule::name, "number of held steps", i, held[2 * tasks],
                            detail::is_finite(held[2 * tasks]) && held[2 * tasks] >= 0);
    }
  }

  /// What the loss stage last multiplied task i's gradient with; 0 if it has not yet, and without a stage.
  FULLER_HD double last_factor(int tasks, const double* state, int i) const {
    return staged() ? state[rule_.state_size(tasks) + tasks + i] : 0;
  }
  /// The number of steps since the rule was asked; 0 if it is asked in each.
  FULLER_HD double held_for(int tasks, const double* state) const {
    return keeps_weights() ? state[held_at(tasks) + 2 * tasks] : 0;
  }

  /// Shows a rule that learns from them the losses of the last step's batch, after it (`void after_step(const Evidence<>&
  /// evidence, double* state, double* scratch) const`): with static weights before it as in a step. Tasks whose loss is not
  /// finite are left out. `scratch` holds `scratch_size` doubles. On the host.
  void after_step(const Evidence<>& evidence, double* state, double* scratch) const {
    if constexpr (detail::rule_learns_after<Rule>::value) {
      const int T = evidence.tasks();
      detail::Scratch work(scratch);
      double* const losses = work.doubles(T);
      std::uint8_t* const used = work.bytes(T);
      for (int i = 0; i < T; ++i) {
        losses[i] = evidence.present[i] != 0 ? static_weight(options_.before, i) * evidence.losses[i] : 0;
        used[i] = evidence.present[i] != 0 && detail::is_finite(losses[i]) ? 1 : 0;
      }
      Evidence<> seen = evidence;
      seen.losses = losses;
      seen.present = used;
      rule_.after_step(seen, state, work.rest());
    } else {
      static_cast<void>(evidence);
      static_cast<void>(state);
      static_cast<void>(scratch);
    }
  }

  /// All lanes of a group call it together; `state` and `scratch` hold `state_size` and `scratch_size` doubles.
  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double* state, WeightsView out, double* scratch) const {
    const int T = evidence.tasks();
    detail::Scratch work(scratch);
    double* const weights = work.doubles(T);
    std::uint8_t* const used = work.bytes(T);
    double* const last = state + rule_.state_size(T);
    double* const kept = last + T;
    Stage stage;
    if (staged()) {
      stage.factors = work.doubles(T);
      stage.losses = Rule::needs.losses ? work.doubles(T) : nullptr;
      if (evidence.held) {
        for (int i = lanes.index(); i < T; i += Lanes::count) {
          stage.factors[i] = kept[i] > 0 ? kept[i] : 1;
        }
        lanes.sync();
      } else {
        detail::apply_stage(lanes, evidence, options_.stage, kept, stage.factors, stage.losses);
      }
    }
    if (keeps_weights()) {
      count_held(lanes, evidence, state + held_at(T));
    }

    const double zero = zero_square(evidence, stage);
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      const Condition condition = condition_of(evidence, stage, i, zero);
      out.conditions[i] = condition;
      used[i] = condition == Condition::used ? 1 : 0;
    }
    lanes.sync();
    int used_count = 0;
    bool any_non_finite = false;
    for (int i = 0; i < T; ++i) {
      used_count += used[i];
      any_non_finite = any_non_finite || out.conditions[i] == Condition::non_finite;
    }
    if (any_non_finite && detail::spreads(options_.non_finite)) {
      for (int i = lanes.index(); i < T; i += Lanes::count) {
        out.shared[i] = out.heads[i] = detail::quiet_nan;
      }
      lanes.sync();
      return;
    }
    const bool frozen = any_non_finite && detail::keeps_state(options_.non_finite);
    double* rule_state = state;
    if (frozen) {
      rule_state = work.doubles(rule_.state_size(T));
      for (int k = lanes.index(); k < rule_.state_size(T); k += Lanes::count) {
        rule_state[k] = state[k];
      }
      lanes.sync();
    }
    const bool holds = options_.missing == Missing::hold && used_count == 1 && T > 1;
    if (used_count > 0 && !evidence.held) {
      const Evidence<Tasks> seen = weighted_before(lanes, evidence, stage, used, work);
      rule_(lanes, seen, rule_state, weights, work.rest());
      lanes.sync();
    }
    if (keeps_weights()) {
      hold_or_draw(lanes, evidence, used, frozen || holds, state + held_at(T), weights);
    }
    double scale = 1;
    if (detail::rule_weights_sum_to_tasks<Rule>::value && options_.missing == Missing::renormalise && used_count < T) {
      double sum = 0;
      for (int i = 0; i < T; ++i) {
        sum += used[i] != 0 ? weights[i] : 0;
      }
      scale = used_count / sum;
    }
    const bool writes = !frozen && !evidence.held;
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      const double factor = static_weight(options_.before, i) * static_weight(options_.after, i);
      double shared = 0;
      double head = 0;
      if (used[i] != 0) {
        const double of_staged = holds && last[i] > 0 ? last[i] : weights[i] * scale * factor;
        shared = of_staged * stage.factor(i);
        head = shared < 0 && !heads_may_ascend() ? 0 : shared;
        if (of_staged > 0 && writes) {
          last[i] = of_staged;
        }
        if (staged() && writes) {
          kept[i] = stage.factor(i);
        }
      } else if (out.conditions[i] == Condition::zero) {
        const bool is_old = staged() && detail::reads_norms(options_.stage);
        const double of_stage = !is_old ? stage.factor(i) : kept[i] > 0 ? kept[i] : 1;
        head = (last[i] > 0 ? last[i] : factor) * of_stage;
        shared = used_count == 0 ? head : 0;
        if (staged() && !is_old && writes) {
          kept[i] = of_stage;
        }
      }
      out.shared[i] = shared;
      out.heads[i] = head;
    }
    lanes.sync();
  }

 private:
  /// What the loss stage made of the step; nothing without one.
  struct Stage {
    double* factors = nullptr;
    double* losses = nullptr;
    FULLER_HD double factor(int i) const { return factors == nullptr ? 1 : factors[i]; }
  };

  FULLER_HD bool staged() const { return options_.stage != LossStage::none; }
  /// Whether the rule's weights outlive the step.
  FULLER_HD bool keeps_weights() const { return options_.every > 1 || options_.smoothing > 0; }
  /// Where in the state.
  FULLER_HD int held_at(int tasks) const { return rule_.state_size(tasks) + tasks + (staged() ? tasks : 0); }

  /// Counts the steps since the rule was asked.
  template <class Lanes, int Tasks>
  FULLER_HD static void count_held(Lanes lanes, const Evidence<Tasks>& evidence, double* held) {
    double& count = held[2 * evidence.tasks()];
    if (lanes.index() == 0) {
      count = evidence.held ? count + 1 : 0;
    }
    lanes.sync();
  }

  /// Puts the weights that are held in place of the rule's, or draws them towards those.
  /// @param passes  whether this step leaves them as they are: a task that is alone has a weight from elsewhere
  template <class Lanes, int Tasks>
  FULLER_HD void hold_or_draw(Lanes lanes, const Evidence<Tasks>& evidence, const std::uint8_t* used, bool passes, double* held,
                              double* weights) const {
    const int T = evidence.tasks();
    double* const given = held + T;
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      if (used[i] == 0) {
        continue;
      }
      if (evidence.held) {
        weights[i] = given[i] > 0 ? held[i] : 1;
        continue;
      }
      if (options_.smoothing > 0 && given[i] > 0) {
        weights[i] = options_.smoothing * held[i] + (1 - options_.smoothing) * weights[i];
      }
      if (!passes && detail::is_finite(weights[i])) {
        held[i] = weights[i];
        given[i] += 1;
      }
    }
    lanes.sync();
  }

  FULLER_HD static double static_weight(const TaskVector& values, int i) { return values.empty() ? 1 : values[i]; }

  FULLER_HD bool heads_may_ascend() const {
    if constexpr (detail::rule_heads_may_ascend<Rule>::value) {
      return rule_.heads_may_ascend();
    } else {
      return false;
    }
  }

  /// A rule that asks for no Gram matrix is shown one where the policy needs to know which gradients are zero or not finite.
  template <int Tasks>
  FULLER_HD bool looks_at_gram(const Evidence<Tasks>& evidence) const {
    const bool is_given = evidence.gram != nullptr;
    return needs().gram ? is_given || !evidence.held : is_given && detail::looks_for_them(options_.non_finite);
  }

  /// Whether the rule is shown other numbers than the evidence holds.
  FULLER_HD bool changes_evidence() const { return staged() || !options_.before.empty(); }

  /// M_ij s_i d_i s_j d_j: with the stage's factors and the static weights before the rule.
  template <int Tasks>
  FULLER_HD double weighted_dot(const Evidence<Tasks>& evidence, const Stage& stage, int i, int j) const {
    return changes_evidence() ? detail::scaled_twice(evidence.dot(i, j), static_weight(options_.before, i) * stage.factor(i),
                                                     static_weight(options_.before, j) * stage.factor(j))
                              : evidence.dot(i, j);
  }

  /// s_i L_i, likewise.
  template <int Tasks>
  FULLER_HD double weighted_loss(const Evidence<Tasks>& evidence, const Stage& stage, int i) const {
    return static_weight(options_.before, i) * (staged() ? stage.losses[i] : evidence.losses[i]);
  }

  template <int Tasks>
  FULLER_HD bool finite_alone(const Evidence<Tasks>& evidence, const Stage& stage, int i) const {
    const double factor = stage.factor(i);
    return (!detail::reads_losses(options_.stage) || evidence.held ||
            (factor > 0 && detail::is_finite(factor) && detail::is_finite(evidence.losses[i]))) &&
           (!looks_at_gram(evidence) ||
            (detail::is_finite(evidence.dot(i, i)) && detail::is_finite(weighted_dot(evidence, stage, i, i)))) &&
           (!Rule::needs.losses || evidence.held || detail::is_finite(weighted_loss(evidence, stage, i)));
  }

  /// The squared norm at or below which a gradient counts as zero. Rounding is that of the gradients themselves, so static
  /// weights do not enter.
  template <int Tasks>
  FULLER_HD double zero_square(const Evidence<Tasks>& evidence, const Stage& stage) const {
    double longest = 0;
    if (looks_at_gram(evidence)) {
      for (int i = 0; i < evidence.tasks(); ++i) {
        if (evidence.present[i] != 0 && finite_alone(evidence, stage, i)) {
          longest = detail::larger(longest, evidence.dot(i, i));
        }
      }
    }
    return longest * options_.zero_below * options_.zero_below;
  }

  template <int Tasks>
  FULLER_HD Condition condition_of(const Evidence<Tasks>& evidence, const Stage& stage, int i, double zero) const {
    if (evidence.present[i] == 0) {
      return Condition::absent;
    }
    if (!finite_alone(evidence, stage, i)) {
      return Condition::non_finite;
    }
    if (looks_at_gram(evidence)) {
      // A product with a task that is itself non-finite says nothing about this one.
      for (int j = 0; j < evidence.tasks(); ++j) {
        if (!detail::is_finite(evidence.dot(i, j)) && evidence.present[j] != 0 && finite_alone(evidence, stage, j)) {
          return Condition::non_finite;
        }
      }
      if (!(evidence.dot(i, i) > zero) || !(weighted_dot(evidence, stage, i, i) > 0)) {
        return Condition::zero;
      }
    }
    return Condition::used;
  }

  /// What the rule is shown: the used tasks, with the stage and the static weights before it in M and L.
  template <class Lanes, int Tasks>
  FULLER_HD Evidence<Tasks> weighted_before(Lanes lanes, const Evidence<Tasks>& evidence, const Stage& stage,
                                            const std::uint8_t* used, detail::Scratch& work) const {
    Evidence<Tasks> seen = evidence;
    seen.present = used;
    if (!changes_evidence()) {
      return seen;
    }
    const int T = evidence.tasks();
    double* const gram = work.doubles(Rule::needs.gram ? T * T : 0);
    double* const losses = work.doubles(Rule::needs.losses ? T : 0);
    for (int i = lanes.index(); i < T; i += Lanes::count) {
      if (used[i] == 0) {
        continue;
      }
      if (Rule::needs.losses) {
        losses[i] = weighted_loss(evidence, stage, i);
      }
      if (Rule::needs.gram) {
        for (int j = 0; j < T; ++j) {
          gram[i * T + j] = weighted_dot(evidence, stage, i, j);
        }
      }
    }
    lanes.sync();
    seen.gram = Rule::needs.gram ? gram : evidence.gram;
    seen.losses = Rule::needs.losses ? losses : evidence.losses;
    return seen;
  }

  Rule rule_;
  WeightingOptions options_;
};

template <class Rule>
Weighting(Rule) -> Weighting<Rule>;
template <class Rule>
Weighting(Rule, WeightingOptions) -> Weighting<Rule>;

}  // namespace v0_1
}  // namespace fuller
