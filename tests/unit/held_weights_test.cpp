// SPDX-License-Identifier: Apache-2.0
// Weights that outlive the step in which the rule gave them: held in the steps between, and drawn towards new ones.
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>

#include "support/catch.hpp"
#include "support/emulated_lanes.hpp"
#include "support/steps.hpp"

using fuller::Condition;
using fuller::LossStage;
using fuller::Missing;
using fuller::NonFinite;
using fuller::TaskVector;
using fuller::WeightingOptions;
using fuller::testing::for_every_rule;
using fuller::testing::random_jacobian;
using fuller::testing::Step;
using fuller::testing::step_of;
using fuller::testing::WeightingRunner;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// A rule of three tasks whose weights are the losses themselves: what it gives is seen in what it was shown.
struct Echo {
  static constexpr const char* name = "echo";
  static constexpr fuller::Needs needs{false, true};
  int state_size(int) const { return 0; }
  int scratch_size(int) const { return 0; }
  void initialise(int, double*) const {}
  template <class Lanes, int Tasks>
  void operator()(Lanes, const fuller::Evidence<Tasks>& evidence, double*, double* weights, double*) const {
    for (int i = 0; i < evidence.tasks(); ++i) {
      weights[i] = evidence.present[i] != 0 ? evidence.losses[i] : 0;
    }
  }
};

/// The same, of weights that add up to the number of tasks.
struct EchoOfShares : Echo {
  static constexpr bool weights_sum_to_tasks = true;
};

Step asked(std::vector<double> losses) {
  Step step;
  step.tasks = static_cast<int>(losses.size());
  step.present.assign(losses.size(), 1);
  step.losses = std::move(losses);
  return step;
}

/// Shows neither losses nor gradients.
Step held(std::vector<std::uint8_t> present) {
  Step step;
  step.tasks = static_cast<int>(present.size());
  step.present = std::move(present);
  step.held = true;
  return step;
}

WeightingOptions every(int steps) {
  WeightingOptions options;
  options.every = steps;
  return options;
}

}  // namespace

TEST_CASE("in the steps between, every rule has the weights of the step in which it was asked, and shows nothing") {
  constexpr int k = 3;
  for (const int T : {2, 3, 5}) {
    for_every_rule(T, [&](const auto& rule) {
      using Rule = std::decay_t<decltype(rule)>;
      INFO(Rule::name << ", T = " << T);
      std::mt19937_64 random(static_cast<unsigned>(T));
      WeightingRunner<Rule> holding(rule, T, every(k));
      WeightingRunner<Rule> plain(rule, T);  // is shown the steps with evidence alone
      for (int number = 0; number < 4 * k; ++number) {
        if (number % k != 0) {
          holding(held(std::vector<std::uint8_t>(std::size_t(T), 1)));
        } else {
          Step step = step_of(random_jacobian(T, 12, random, 0.3));
          for (double& loss : step.losses) {
            loss += 0.1 * number;
          }
          step.step = number;
          step.epoch = number / 6;
          holding(step);
          plain(step);
        }
        INFO("step " << number);
        CHECK(holding.shared == plain.shared);
        CHECK(holding.heads == plain.heads);
        CHECK(holding.conditions == plain.conditions);
        const std::vector<double> state(holding.state.begin(), holding.state.begin() + std::ptrdiff_t(plain.state.size()));
        CHECK(state == plain.state);
        CHECK(holding.state.back() == number % k);  // steps since it was asked
      }
    });
  }
}

TEST_CASE("a task gets its own weight in a step between, wherever the others are, and none where it is absent") {
  WeightingRunner<Echo> run(Echo(), 3, every(4));
  CHECK(run(held({1, 0, 1})) == std::vector<double>{1, 0, 1});  // before anything was asked: the plain sum
  CHECK(run(asked({2, 5, 3})) == std::vector<double>{2, 5, 3});
  CHECK(run(held({1, 1, 0})) == std::vector<double>{2, 5, 0});
  CHECK(run.conditions[2] == Condition::absent);
  CHECK(run(held({0, 1, 0})) == std::vector<double>{0, 5, 0});
  CHECK(run(held({1, 1, 1})) == std::vector<double>{2, 5, 3});
  Step two = asked({7, not_a_number, 8});
  two.present[1] = 0;
  CHECK(run(two) == std::vector<double>{7, 0, 8});
  CHECK(run(held({1, 1, 1})) == std::vector<double>{7, 5, 8});  // each task's last
}

TEST_CASE("a task that was alone when the rule was asked leaves the held weights as they are under Missing::hold") {
  for (const bool keeps : {true, false}) {
    WeightingOptions options = every(2);
    options.missing = keeps ? Missing::hold : Missing::renormalise;
    WeightingRunner<Echo> run(Echo(), 2, options);
    run(asked({2, 5}));
    Step alone = asked({9, not_a_number});
    alone.present[1] = 0;
    CHECK(run(alone).front() == (keeps ? 2 : 9));
    CHECK(run(held({1, 1})) == std::vector<double>{keeps ? 2.0 : 9.0, 5});
  }
}

TEST_CASE("held weights that add up to the number of tasks add up to the number present where that is asked for") {
  WeightingOptions options = every(2);
  options.missing = Missing::renormalise;
  options.after = TaskVector({1, 10, 1});
  WeightingRunner<EchoOfShares> run(EchoOfShares(), 3, options);
  CHECK(run(asked({0.5, 1.5, 1})) == std::vector<double>{0.5, 15, 1});
  CHECK(run(held({1, 1, 0})) == std::vector<double>{0.5, 15, 0});
  CHECK(run(held({1, 0, 1})) == std::vector<double>{0.5 * (2 / 1.5), 0, 1 * (2 / 1.5)});
  CHECK(run(held({0, 0, 1})) == std::vector<double>{0, 0, 1});
}

TEST_CASE("new weights are drawn towards: each task's mean goes on from what it was given first") {
  WeightingOptions options;
  options.smoothing = 0.75;
  options.before = TaskVector({1, 2, 1});
  WeightingRunner<Echo> run(Echo(), 3, options);
  // What the rule sees of task 1 is twice its loss, and what it gives is multiplied by 2 again.
  CHECK(run(asked({4, 8, 1})) == std::vector<double>{4, 32, 1});
  CHECK(run(asked({8, 8, 1})) == std::vector<double>{0.75 * 4 + 0.25 * 8, 32, 1});
  Step without = asked({8, not_a_number, 3});
  without.present[1] = 0;
  CHECK(run(without) == std::vector<double>{0.75 * 5 + 0.25 * 8, 0, 0.75 * 1 + 0.25 * 3});
  CHECK(run(asked({5.75, 0, 1.5}))[1] == 2 * (0.75 * 16 + 0.25 * 0));  // 16: before the static weight
}

TEST_CASE("every rule's weights are drawn towards as a mean over steps is") {
  constexpr double share = 0.6;
  for_every_rule(3, [&](const auto& rule) {
    using Rule = std::decay_t<decltype(rule)>;
    INFO(Rule::name);
    std::mt19937_64 random(11);
    WeightingOptions options;
    options.smoothing = share;
    WeightingRunner<Rule> drawn(rule, 3, options);
    WeightingRunner<Rule> plain(rule, 3);
    std::vector<double> mean;
    for (int number = 0; number < 5; ++number) {
      Step step = step_of(random_jacobian(3, 12, random, 0.3));
      step.step = number;
      drawn(step);
      plain(step);
      for (std::size_t i = 0; i < 3; ++i) {
        if (number == 0) {
          mean.push_back(plain.shared[i]);
        } else {
          mean[i] = share * mean[i] + (1 - share) * plain.shared[i];
        }
        CHECK(drawn.shared[i] == Approx(mean[i]).epsilon(1e-12).margin(1e-300));
      }
    }
  });
}

TEST_CASE("a loss stage's factors are held with the weights") {
  WeightingOptions options = every(2);
  options.stage = LossStage::loss;  // L becomes 1, its gradient is divided by L
  WeightingRunner<Echo> run(Echo(), 2, options);
  CHECK(run(held({1, 1})) == std::vector<double>{1, 1});
  CHECK(run(asked({4, 0.5})) == std::vector<double>{0.25, 2});
  CHECK(run(held({1, 1})) == std::vector<double>{0.25, 2});
  CHECK(run(held({0, 1})) == std::vector<double>{0, 2});
}

TEST_CASE("what is not finite moves no held weight, and is seen in a step between where gradients are shown") {
  for (const auto policy : {NonFinite::propagate, NonFinite::skip}) {
    WeightingOptions options = every(2);
    options.non_finite = policy;
    WeightingRunner<Echo> run(Echo(), 2, options);
    run(asked({2, 5}));
    run(asked({not_a_number, 7}));
    const bool spreads = policy == NonFinite::propagate;
    CHECK((spreads ? std::isnan(run.shared[0]) && std::isnan(run.shared[1]) : run.shared == std::vector<double>{0, 5}));
    CHECK(run(held({1, 1})) == std::vector<double>{2, 5});
    Step shown = held({1, 1});
    shown.gram = {not_a_number, not_a_number, not_a_number, 1};
    run(shown);
    CHECK(run.shared == (spreads ? std::vector<double>{2, 5} : std::vector<double>{0, 5}));
    CHECK(run.conditions[0] == (spreads ? Condition::used : Condition::non_finite));
  }
}

TEST_CASE("a task whose gradient was found to be zero does not lose its held weight") {
  std::mt19937_64 random(3);
  WeightingRunner<fuller::IMTL_G> run(fuller::IMTL_G(), 2, every(2));
  const Step good = step_of(random_jacobian(2, 12, random));
  const std::vector<double> first = run(good);
  Step zero = good;
  zero.gram[1] = zero.gram[2] = zero.gram[3] = 0;
  run(zero);
  CHECK(run.conditions[1] == Condition::zero);
  CHECK(run(held({1, 1})) == first);
}

TEST_CASE("weights are held by 32 lanes as by one") {
  WeightingOptions options = every(3);
  options.smoothing = 0.5;
  constexpr int T = 40;
  std::mt19937_64 random(5);
  WeightingRunner<fuller::GradNorm> one(fuller::GradNorm(), T, options);
  WeightingRunner<fuller::GradNorm> many(fuller::GradNorm(), T, options);
  for (int number = 0; number < 7; ++number) {
    Step step = step_of(random_jacobian(T, 64, random));
    step.step = number;
    step.held = number % 3 != 0;
    step.present[std::size_t(number)] = 0;
    one(step);
    fuller::testing::on_all_lanes([&](const auto& lane) { many.template call<fuller::dynamic>(lane, step); });
    CHECK(many.shared == one.shared);
    CHECK(many.state == one.state);
  }
}

TEST_CASE("how often a rule is asked, and how much is drawn, has a range; a damaged state is refused") {
  const auto made = [](int steps, double smoothing) {
    WeightingOptions options = every(steps);
    options.smoothing = smoothing;
    WeightingRunner<fuller::Uniform>(fuller::Uniform(), 2, options);
  };
  CHECK_NOTHROW(made(1, 0));
  CHECK_NOTHROW(made(1000000, 0.999));
  CHECK_THROWS_AS(made(0, 0), fuller::Error);
  CHECK_THROWS_AS(made(1, 1), fuller::Error);
  CHECK_THROWS_AS(made(1, -0.1), fuller::Error);
  CHECK_THROWS_AS(made(1, not_a_number), fuller::Error);

  const fuller::Weighting<Echo> weighting(Echo(), every(2));
  std::vector<double> state(std::size_t(weighting.state_size(2)));
  weighting.initialise(2, state.data());
  CHECK_NOTHROW(weighting.check_state(2, state.data()));
  for (std::size_t place = 2; place < state.size(); ++place) {
    std::vector<double> damaged = state;
    damaged[place] = place < 4 ? not_a_number : -1;
    CHECK_THROWS_AS(weighting.check_state(2, damaged.data()), fuller::Error);
  }
}
