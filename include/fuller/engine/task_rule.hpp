// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fuller/calibrators/grad_drop.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/calibrators/weighting.hpp>
#include <fuller/core/evidence.hpp>
#include <fuller/core/sign_drop.hpp>
#include <fuller/engine/outcome.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// A rule with its policies, of a type chosen at run time. It keeps nothing from step to step: state and scratch are the
/// caller's.
class TaskRule {
 public:
  /// @throws Error for options that make no sense.
  template <class Rule>
  TaskRule(Rule rule, int tasks, WeightingOptions policies)
      : name_(Rule::name),
        tasks_(tasks),
        staged_(policies.stage != LossStage::none),
        learns_after_(rule_learns_after<Rule>::value),
        sign_drop_(sign_drop_of(rule)),
        call_(std::make_shared<Model<Rule>>(Weighting<Rule>(std::move(rule), policies))) {
    needs_ = call_->needs();
    call_->initialise(tasks, std::vector<double>(state_size()).data());
  }

  /// What rule and loss stage must be shown.
  Needs needs() const { return needs_; }
  const std::string& name() const { return name_; }
  /// How gradients become one where that is no weighted sum; null: it is one.
  const SignDrop* sign_drop() const { return sign_drop_ ? &*sign_drop_ : nullptr; }
  std::size_t state_size() const { return static_cast<std::size_t>(call_->state_size(tasks_)); }
  std::size_t scratch_size() const { return static_cast<std::size_t>(call_->scratch_size(tasks_)); }

  /// The state before the first step.
  std::vector<double> initial_state() const {
    std::vector<double> state(state_size(), 0.0);
    call_->initialise(tasks_, state.data());
    return state;
  }

  /// What the loss stage multiplied each task's gradient with last, by the state; empty without one.
  std::vector<double> stage_factors(const std::vector<double>& state) const {
    std::vector<double> factors;
    for (int i = 0; i < (staged_ ? tasks_ : 0); ++i) {
      factors.push_back(call_->last_factor(tasks_, state.data(), i));
    }
    return factors;
  }
  /// How many steps have gone by since the rule was asked, by the state.
  std::int64_t held_for(const std::vector<double>& state) const {
    return static_cast<std::int64_t>(call_->held_for(tasks_, state.data()));
  }

  /// Runs the rule once; the answer goes to `verdict`, which has an entry for each task. Allocates nothing.
  void operator()(const Evidence<>& evidence, double* state, Verdict& verdict, double* scratch) const {
    call_->run(evidence, state, {verdict.shared.data(), verdict.heads.data(), verdict.conditions.data()}, scratch);
  }

  /// Whether the rule learns from losses after a step.
  bool learns_after() const { return learns_after_; }
  /// Shows it those; see Weighting.
  void after_step(const Evidence<>& evidence, double* state, double* scratch) const {
    call_->after_step(evidence, state, scratch);
  }

  /// @throws Error for a saved state that no steps can have left.
  void check_state(const std::vector<double>& saved) const { call_->check_state(tasks_, saved.data()); }

  /// The rule under its policies, if it is a `Rule`; else null.
  template <class Rule>
  const Weighting<Rule>* as() const {
    const auto* model = dynamic_cast<const Model<Rule>*>(call_.get());
    return model == nullptr ? nullptr : &model->weighting_;
  }

 private:
  struct Call {
    virtual ~Call() = default;
    virtual Needs needs() const = 0;
    virtual int state_size(int tasks) const = 0;
    virtual int scratch_size(int tasks) const = 0;
    virtual void initialise(int tasks, double* state) const = 0;
    virtual void check_state(int tasks, const double* state) const = 0;
    virtual double last_factor(int tasks, const double* state, int i) const = 0;
    virtual double held_for(int tasks, const double* state) const = 0;
    virtual void after_step(const Evidence<>& evidence, double* state, double* scratch) const = 0;
    virtual void run(const Evidence<>& evidence, double* state, WeightsView out, double* scratch) const = 0;
  };

  template <class Rule>
  struct Model final : Call {
    explicit Model(Weighting<Rule> weighting) : weighting_(std::move(weighting)) {}
    Needs needs() const override { return weighting_.needs(); }
    int state_size(int tasks) const override { return weighting_.state_size(tasks); }
    int scratch_size(int tasks) const override { return weighting_.scratch_size(tasks); }
    void initialise(int tasks, double* kept) const override { weighting_.initialise(tasks, kept); }
    void check_state(int tasks, const double* kept) const override { weighting_.check_state(tasks, kept); }
    double last_factor(int tasks, const double* kept, int i) const override { return weighting_.last_factor(tasks, kept, i); }
    double held_for(int tasks, const double* kept) const override { return weighting_.held_for(tasks, kept); }
    void after_step(const Evidence<>& evidence, double* kept, double* scratch) const override {
      weighting_.after_step(evidence, kept, scratch);
    }
    void run(const Evidence<>& evidence, double* kept, WeightsView out, double* scratch) const override {
      weighting_(Serial{}, evidence, kept, out, scratch);
    }

    Weighting<Rule> weighting_;
  };

  template <class Rule>
  static std::optional<SignDrop> sign_drop_of(const Rule& rule) {
    if constexpr (rule_drops_signs<Rule>::value) {
      return rule.sign_drop();
    } else {
      static_cast<void>(rule);
      return std::nullopt;
    }
  }

  Needs needs_{};
  std::string name_;
  int tasks_;
  bool staged_;
  bool learns_after_;
  std::optional<SignDrop> sign_drop_;
  std::shared_ptr<const Call> call_;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
