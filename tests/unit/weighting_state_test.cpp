// SPDX-License-Identifier: Apache-2.0
// What the wrapper of every rule tells of its state, and what it shows a rule after a step.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>

#include "support/catch.hpp"
#include "support/steps.hpp"

using fuller::LossStage;
using fuller::WeightingOptions;
using fuller::testing::Jacobian;
using fuller::testing::Step;
using fuller::testing::step_of;

namespace {

/// A rule that keeps in its state what it is shown after a step: for each task its loss, or -1 where it is absent; beyond that
/// one number of its own for each.
struct Witness {
  static constexpr const char* name = "witness";
  static constexpr fuller::Needs needs{false, true};
  int state_size(int tasks) const { return 2 * tasks; }
  int scratch_size(int) const { return 1; }
  void initialise(int tasks, double* state) const {
    for (int k = 0; k < 2 * tasks; ++k) {
      state[k] = 100 + k;
    }
  }
  template <class Lanes, int Tasks>
  void operator()(Lanes, const fuller::Evidence<Tasks>& evidence, double*, double* weights, double*) const {
    for (int i = 0; i < evidence.tasks(); ++i) {
      weights[i] = evidence.present[i] != 0 ? 1 : 0;
    }
  }
  void after_step(const fuller::Evidence<>& evidence, double* state, double* scratch) const {
    scratch[0] = 0;
    for (int i = 0; i < evidence.tasks(); ++i) {
      state[i] = evidence.present[i] != 0 ? evidence.losses[i] : -1;
    }
  }
};

/// A rule that counts in its state how often it is asked.
struct Counting {
  static constexpr const char* name = "counting";
  static constexpr fuller::Needs needs{false, true};
  int state_size(int) const { return 1; }
  int scratch_size(int) const { return 0; }
  void initialise(int, double* state) const { state[0] = 0; }
  void operator()(fuller::Serial, const fuller::Evidence<>& evidence, double* state, double* weights, double*) const {
    state[0] += 1;
    std::fill(weights, weights + evidence.tasks(), 1.0);
  }
};

Step with_losses(const std::vector<double>& losses) {
  Step step = step_of(Jacobian::Identity(Eigen::Index(losses.size()), Eigen::Index(losses.size())));
  step.losses = losses;
  return step;
}

/// A wrapped rule with its memory, exactly as large as it asks for.
template <class Rule>
struct Wrapped {
  Wrapped(const Rule& rule, const WeightingOptions& options, int count)
      : weighting(rule, options),
        tasks(count),
        state(static_cast<std::size_t>(weighting.state_size(count))),
        scratch(static_cast<std::size_t>(weighting.scratch_size(count))) {
    weighting.initialise(count, state.data());
  }
  void step(const Step& evidence) {
    const std::size_t T = static_cast<std::size_t>(tasks);
    std::vector<double> shared(T), heads(T);
    std::vector<fuller::Condition> conditions(T);
    weighting(fuller::Serial{}, evidence.view(), state.data(), {shared.data(), heads.data(), conditions.data()}, scratch.data());
  }
  std::vector<double> factors() const {
    std::vector<double> all;
    for (int i = 0; i < tasks; ++i) {
      all.push_back(weighting.last_factor(tasks, state.data(), i));
    }
    return all;
  }

  fuller::Weighting<Rule> weighting;
  int tasks;
  std::vector<double> state;
  std::vector<double> scratch;
};

}  // namespace

TEST_CASE("a loss stage's last factors are 0 before the first step, and always without a stage") {
  WeightingOptions options;
  options.every = 2;
  Wrapped<Witness> plain(Witness(), options, 3);
  plain.step(with_losses({4, .5, 8}));
  CHECK(plain.factors() == std::vector<double>{0, 0, 0});
  options.stage = LossStage::loss;  // d_i = 1 / L_i
  Wrapped<Witness> staged(Witness(), options, 3);
  CHECK(staged.factors() == std::vector<double>{0, 0, 0});
  staged.step(with_losses({4, .5, 8}));
  CHECK(staged.factors() == std::vector<double>{.25, 2, .125});
  Step without = with_losses({2, .25, std::nan("")});
  without.present[2] = 0;
  staged.step(without);
  CHECK(staged.factors() == std::vector<double>{.5, 4, .125});  // an absent task keeps its own
}

TEST_CASE("the steps since a rule was asked are counted where it is not asked in each") {
  for (const LossStage stage : {LossStage::none, LossStage::loss}) {
    WeightingOptions options;
    options.stage = stage;
    Wrapped<Witness> always(Witness(), options, 3);
    Step held = with_losses({1, 1, 1});
    held.held = true;
    always.step(with_losses({1, 1, 1}));
    CHECK(always.weighting.held_for(3, always.state.data()) == 0);
    options.every = 4;
    Wrapped<Witness> seldom(Witness(), options, 3);
    CHECK(seldom.weighting.held_for(3, seldom.state.data()) == 0);
    for (const int number : {0, 1, 2, 3, 0, 1}) {
      seldom.step(number == 0 ? with_losses({1, 1, 1}) : held);
      CHECK(seldom.weighting.held_for(3, seldom.state.data()) == number);
    }
  }
}

TEST_CASE("how often each task was given a weight is counted, and kept") {
  WeightingOptions options;
  options.every = 2;
  Wrapped<Witness> run(Witness(), options, 2);
  Step alone = with_losses({1, 1});
  alone.present[1] = 0;
  for (const Step& step : {with_losses({1, 1}), with_losses({1, 1}), alone}) {
    run.step(step);
  }
  // The rule's 4, last weights 2, held weights 2; alone counts for nobody under Missing::hold.
  CHECK(std::vector<double>(run.state.begin() + 4, run.state.end()) == std::vector<double>{1, 1, 1, 1, 2, 2, 0});
}

TEST_CASE("a gradient counts as zero by its share of the longest that is there and finite") {
  using fuller::Condition;
  const auto conditions = [](const std::vector<double>& norms, double share, int absent, double nan_loss_of) {
    WeightingOptions options;
    options.zero_below = share;
    options.non_finite = fuller::NonFinite::skip;
    Step step = with_losses(std::vector<double>(norms.size(), 1.0));
    for (std::size_t i = 0; i < norms.size(); ++i) {
      step.gram[i * norms.size() + i] = norms[i] * norms[i];
    }
    if (absent >= 0) {
      step.present[std::size_t(absent)] = 0;
    }
    if (nan_loss_of >= 0) {
      step.losses[std::size_t(nan_loss_of)] = std::nan("");
    }
    fuller::testing::WeightingRunner<fuller::GradNorm> run(fuller::GradNorm(), step.tasks, options);
    run(step);
    return run.conditions;
  };
  using All = std::vector<Condition>;
  const double share = WeightingOptions().zero_below;
  CHECK(share == 1e-13);
  for (const double unit : {1e-100, 1.0, 1e100}) {
    INFO("unit " << unit);
    CHECK(conditions({unit, .9e-13 * unit}, share, -1, -1) == All{Condition::used, Condition::zero});
    CHECK(conditions({1.1e-13 * unit, unit}, share, -1, -1) == All{Condition::used, Condition::used});
    CHECK(conditions({unit, .9e-4 * unit, 1.1e-4 * unit}, 1e-4, -1, -1) ==
          All{Condition::used, Condition::zero, Condition::used});
    // Without the longest, the others are compared among themselves.
    CHECK(conditions({unit, .9e-4 * unit, 1.1e-4 * unit}, 1e-4, 0, -1) ==
          All{Condition::absent, Condition::used, Condition::used});
    CHECK(conditions({unit, .9e-4 * unit, 1.1e-4 * unit}, 1e-4, -1, 0) ==
          All{Condition::non_finite, Condition::used, Condition::used});
  }
  CHECK(conditions({1, 1e-150}, 0, -1, -1) == All{Condition::used, Condition::used});
  CHECK(conditions({1, 0}, 0, -1, -1) == All{Condition::used, Condition::zero});
}

TEST_CASE("after a step a rule is shown the losses of the tasks that are there, finite and with their static weights") {
  WeightingOptions options;
  options.before = {2, 3, 5, 7};
  Wrapped<Witness> run(Witness(), options, 4);
  Step after = with_losses({1, std::nan(""), 4, 10});
  after.present[3] = 0;
  run.weighting.after_step(after.view(), run.state.data(), run.scratch.data());
  CHECK(std::vector<double>(run.state.begin(), run.state.begin() + 8) == std::vector<double>{2, -1, 20, -1, 104, 105, 106, 107});
  after.losses = {std::numeric_limits<double>::infinity(), -1, 1e308, 10};
  after.present = {1, 1, 1, 1};
  run.weighting.after_step(after.view(), run.state.data(), run.scratch.data());
  // 5e308 is no double; -3 is a loss.
  CHECK(std::vector<double>(run.state.begin(), run.state.begin() + 4) == std::vector<double>{-1, -3, -1, 70});
  // Without static weights, as they are; a rule that learns nothing after a step leaves its state alone.
  Wrapped<Witness> plain(Witness(), {}, 2);
  plain.weighting.after_step(with_losses({6, 9}).view(), plain.state.data(), plain.scratch.data());
  CHECK(std::vector<double>(plain.state.begin(), plain.state.begin() + 2) == std::vector<double>{6, 9});
  Wrapped<fuller::DWA> deaf(fuller::DWA(), {}, 2);
  const std::vector<double> state = deaf.state;
  deaf.weighting.after_step(with_losses({6, 9}).view(), deaf.state.data(), deaf.scratch.data());
  CHECK(deaf.state == state);
}

TEST_CASE("hold: the only task that there is follows its rule") {
  WeightingOptions hold;
  hold.missing = fuller::Missing::hold;
  fuller::testing::WeightingRunner<fuller::UW> held(fuller::UW(), 1, hold);
  fuller::testing::Runner<fuller::UW> alone(fuller::UW(), 1);
  for (const double loss : {3.0, 2.0, 5.0, 0.5}) {
    const Step step = with_losses({loss});
    CHECK(held(step) == alone(step));
  }
}

TEST_CASE("a rule is not asked where no task can be used") {
  fuller::testing::WeightingRunner<Counting> run(Counting(), 2);
  Step step = with_losses({1, 2});
  run(step);
  CHECK(run.state[0] == 1);
  step.present = {0, 0};
  run(step);
  CHECK(run.state[0] == 1);
  step.present = {0, 1};
  run(step);
  CHECK(run.state[0] == 2);
}

TEST_CASE("a gradient that is exactly the share of the longest counts as zero") {
  WeightingOptions options;
  options.zero_below = 0.25;
  fuller::testing::WeightingRunner<fuller::IMTL_G> run(fuller::IMTL_G(), 3, options);
  Step step = step_of(Jacobian::Identity(3, 3));
  step.gram = {16, 0, 0, 0, 1, 0, 0, 0, std::nextafter(1.0, 2.0)};
  run(step);
  CHECK(run.conditions ==
        std::vector<fuller::Condition>{fuller::Condition::used, fuller::Condition::zero, fuller::Condition::used});
}

TEST_CASE("a loss and a gradient by which no double can be divided are bad input") {
  WeightingOptions options;
  options.stage = LossStage::loss_plus;
  options.non_finite = fuller::NonFinite::skip;
  fuller::testing::WeightingRunner<fuller::Uniform> run(fuller::Uniform(), 2, options);
  Step step = step_of(Jacobian::Identity(2, 2));
  step.gram = {1, 0, 0, 1e300};
  step.losses = {2, 1e200};  // 1 / (1e200 1e150) is 0
  run(step);
  CHECK(run.conditions == std::vector<fuller::Condition>{fuller::Condition::used, fuller::Condition::non_finite});
}
