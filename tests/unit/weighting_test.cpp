// SPDX-License-Identifier: Apache-2.0
// The policies that every rule shares.
#include <cmath>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>

#include "support/catch.hpp"
#include "support/steps.hpp"

using fuller::Condition;
using fuller::IMTL_G;
using fuller::IMTL_G_Options;
using fuller::Missing;
using fuller::NonFinite;
using fuller::WeightingOptions;
using fuller::testing::for_every_rule;
using fuller::testing::Jacobian;
using fuller::testing::random_jacobian;
using fuller::testing::Step;
using fuller::testing::step_of;
using fuller::testing::WeightingRunner;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// Poisons everything that belongs to task i.
void poison(Step& step, int i, double with) {
  for (int j = 0; j < step.tasks; ++j) {
    step.gram[std::size_t(i * step.tasks + j)] = with;
    step.gram[std::size_t(j * step.tasks + i)] = with;
  }
  step.losses[std::size_t(i)] = with;
}

Step without(Step step, int i) {
  poison(step, i, not_a_number);  // what absent tasks show is unspecified
  step.present[std::size_t(i)] = 0;
  return step;
}

/// The step of the tasks but i, as if it did not exist.
Step dropped(const Step& step, int i) {
  Step rest;
  rest.tasks = step.tasks - 1;
  for (int j = 0; j < step.tasks; ++j) {
    if (j == i) {
      continue;
    }
    for (int k = 0; k < step.tasks; ++k) {
      if (k != i) {
        rest.gram.push_back(step.gram[std::size_t(j * step.tasks + k)]);
      }
    }
    rest.losses.push_back(step.losses[std::size_t(j)]);
    rest.present.push_back(1);
  }
  rest.step = step.step;
  rest.epoch = step.epoch;
  return rest;
}

std::vector<double> with_gap(std::vector<double> weights, int i) {
  weights.insert(weights.begin() + i, 0);
  return weights;
}

template <class Rule>
constexpr bool knows_its_tasks = std::is_same_v<Rule, fuller::Constant> || std::is_same_v<Rule, fuller::PCD> ||
                                 std::is_same_v<Rule, fuller::WPCGrad<fuller::PhaseSchedule>>;

Jacobian two_tasks(double ratio) {
  Jacobian J(2, 2);
  J << 1, 0, 0, ratio;
  return J;
}

Jacobian ascent_example() {
  Jacobian J(3, 3);
  J << .5, std::sqrt(.75), 0, .5, -std::sqrt(.75), 0, .1 * std::sqrt(.5), 0, .1 * std::sqrt(.5);
  return J;
}

}  // namespace

TEST_CASE("a mask gives what leaving out the row gives, for every rule and both policies") {
  std::mt19937_64 random(1);
  for (const Missing missing : {Missing::hold, Missing::renormalise}) {
    for_every_rule(5, [&](const auto& rule) {
      using Rule = std::decay_t<decltype(rule)>;
      if constexpr (!knows_its_tasks<Rule>) {
        for (int i = 0; i < 5; ++i) {
          WeightingOptions options;
          options.missing = missing;
          WeightingRunner<Rule> masked(rule, 5, options);
          WeightingRunner<Rule> smaller(rule, 4, options);
          for (int k = 0; k < 6; ++k) {
            Step step = step_of(random_jacobian(5, 20, random, 0.5));
            step.step = k;
            step.epoch = k / 2;
            for (double& loss : step.losses) {
              loss = std::exp(std::normal_distribution<double>()(random));
            }
            INFO(Rule::name << " without task " << i << ", step " << k);
            masked(without(step, i));
            smaller(dropped(step, i));
            // Bit for bit, but where weights are scaled once more to add up to the number present.
            const bool scaled = std::is_same_v<Rule, fuller::GradNorm> && missing == Missing::renormalise;
            const std::vector<double> expected = with_gap(smaller.shared, i);
            for (std::size_t j = 0; j < 5; ++j) {
              CHECK(std::abs(masked.shared[j] - expected[j]) <= (scaled ? 1e-14 : 0) * expected[j]);
            }
            CHECK((scaled || masked.heads == with_gap(smaller.heads, i)));
            CHECK(masked.conditions[std::size_t(i)] == Condition::absent);
          }
        }
      }
    });
  }
}

TEST_CASE("hold: a task alone keeps the weight it last had; renormalise: it is the only task there is") {
  const Step both = step_of(two_tasks(20));
  const Step alone = without(both, 1);
  const double w = 20.0 / 21;
  WeightingRunner<IMTL_G> hold(IMTL_G(), 2);
  CHECK(hold(alone)[0] == 1);  // none yet
  hold(both);
  CHECK(hold(alone) == std::vector<double>{hold.shared[0], 0});
  CHECK(hold.shared[0] == Approx(w));
  CHECK(hold.heads[0] == Approx(w));
  CHECK(hold(without(both, 0))[1] == Approx(1 - w));
  CHECK(hold(both)[1] == Approx(1 - w));

  WeightingOptions options;
  options.missing = Missing::renormalise;
  WeightingRunner<IMTL_G> renormalise(IMTL_G(), 2, options);
  renormalise(both);
  CHECK(renormalise(alone) == std::vector<double>{1, 0});
}

TEST_CASE("hold and renormalise, for every rule") {
  std::mt19937_64 random(2);
  for_every_rule(3, [&](const auto& rule) {
    using Rule = std::decay_t<decltype(rule)>;
    const Step all = step_of(random_jacobian(3, 200, random));
    const Step alone = without(without(all, 0), 2);
    INFO(Rule::name);
    WeightingRunner<Rule> hold(rule, 3);
    hold(all);
    const double last = hold.shared[1];
    CHECK(hold(alone) == std::vector<double>{0, last, 0});
    WeightingOptions options;
    options.missing = Missing::renormalise;
    WeightingRunner<Rule> renormalise(rule, 3, options);
    renormalise(all);
    if (std::is_same_v<Rule, fuller::Constant>) {
      CHECK(renormalise(alone)[1] == last);
    } else if (fuller::testing::gives_one_to_a_task_alone<Rule>) {
      CHECK(renormalise(alone)[1] == Approx(1).epsilon(1e-12));
    } else {
      CHECK(renormalise(alone)[1] > 0);
    }
  });
}

TEST_CASE("GradNorm under renormalise adds up to the number present; under hold the absent weight is kept") {
  std::mt19937_64 random(3);
  WeightingOptions options;
  options.missing = Missing::renormalise;
  fuller::GradNormOptions at_once;  // so that the weight last given is the weight kept
  at_once.use = fuller::GradNormOptions::Use::updated;
  WeightingRunner<fuller::GradNorm> renormalise(fuller::GradNorm(at_once), 3, options);
  WeightingRunner<fuller::GradNorm> hold(fuller::GradNorm(at_once), 3);
  for (int k = 0; k < 5; ++k) {
    const Step step = step_of(random_jacobian(3, 10, random));
    renormalise(step);
    hold(step);
  }
  const double absent = hold.shared[2];
  const Step pair = without(step_of(random_jacobian(3, 10, random)), 2);
  renormalise(pair);
  hold(pair);
  CHECK(renormalise.shared[0] + renormalise.shared[1] == Approx(2).epsilon(1e-14));
  CHECK(hold.shared[0] + hold.shared[1] == Approx(3 - absent).epsilon(1e-14));
  CHECK(std::abs(absent - 1) > 1e-3);
}

TEST_CASE("hold remembers the last weight above 0: a negative one means nothing to a task alone") {
  const Step step = step_of(ascent_example());
  WeightingRunner<IMTL_G> run(IMTL_G(), 3);
  Jacobian easy = Jacobian::Identity(3, 3);
  run(step_of(easy));
  run(step);
  REQUIRE(run.shared[2] < 0);
  run(without(without(step, 0), 1));
  CHECK(run.shared[2] == Approx(1.0 / 3));
}

TEST_CASE("no head is trained uphill unless one asks for it") {
  const Step step = step_of(ascent_example());
  WeightingRunner<IMTL_G> by_default(IMTL_G(), 3);
  by_default(step);
  CHECK(by_default.shared[2] == Approx(-1.9074).margin(1e-4));
  CHECK(by_default.heads[2] == 0);
  CHECK(by_default.heads[0] == by_default.shared[0]);
  IMTL_G_Options paper;
  paper.negative = IMTL_G_Options::Negative::paper;
  WeightingRunner<IMTL_G> literal(IMTL_G(paper), 3);
  literal(step);
  CHECK(literal.shared[0] == Approx(-.83072).margin(1e-5));
  CHECK(literal.heads == literal.shared);
}

TEST_CASE("static weights before the rule are part of the loss: IMTL-G cancels their ratio") {
  const Step step = step_of(two_tasks(3));
  WeightingRunner<IMTL_G> plain(IMTL_G(), 2);
  plain(step);
  WeightingOptions options;
  options.before = {1, 10};
  WeightingRunner<IMTL_G> before(IMTL_G(), 2, options);
  before(step);
  // The weights of the raw gradients are s_i w_i(s g): same direction, other length.
  const double w = 30.0 / 31;
  CHECK(before.shared[0] == Approx(w));
  CHECK(before.shared[1] == Approx(10 * (1 - w)));
  CHECK(before.shared[0] / before.shared[1] == Approx(plain.shared[0] / plain.shared[1]));
  options.before = {};
  options.after = {1, 10};
  WeightingRunner<IMTL_G> after(IMTL_G(), 2, options);
  after(step);
  CHECK(after.shared[0] == plain.shared[0]);
  CHECK(after.shared[1] == 10 * plain.shared[1]);
}

TEST_CASE("static weights before the rule equal gradients and losses that carry them, for every rule") {
  std::mt19937_64 random(4);
  const std::vector<double> s = {.5, 4, 2, 16};  // powers of two: equal bit for bit
  for_every_rule(4, [&](const auto& rule) {
    using Rule = std::decay_t<decltype(rule)>;
    WeightingOptions options;
    options.before = fuller::TaskVector(s);
    WeightingRunner<Rule> weighted(rule, 4, options);
    WeightingRunner<Rule> carried(rule, 4);
    for (int k = 0; k < 5; ++k) {
      Jacobian J = random_jacobian(4, 12, random, 0.5);
      const Step raw = step_of(J);
      for (int i = 0; i < 4; ++i) {
        J.row(i) *= s[std::size_t(i)];
      }
      Step scaled = step_of(J);
      for (int i = 0; i < 4; ++i) {
        scaled.losses[std::size_t(i)] = s[std::size_t(i)] * raw.losses[std::size_t(i)];
      }
      weighted(raw);
      carried(scaled);
      INFO(Rule::name);
      for (std::size_t i = 0; i < 4; ++i) {
        CHECK(weighted.shared[i] == s[i] * carried.shared[i]);
      }
    }
  });
}

TEST_CASE("propagate: one NaN makes every weight NaN and moves no state") {
  std::mt19937_64 random(5);
  for (const double bad : {not_a_number, infinity, -infinity}) {
    for_every_rule(3, [&](const auto& rule) {
      using Rule = std::decay_t<decltype(rule)>;
      if constexpr (Rule::needs.gram || Rule::needs.losses) {
        WeightingRunner<Rule> run(rule, 3);
        run(step_of(random_jacobian(3, 10, random)));
        const std::vector<double> state = run.state;
        Step step = step_of(random_jacobian(3, 10, random));
        step.epoch = 1;
        poison(step, 1, bad);
        run(step);
        INFO(Rule::name);
        for (std::size_t i = 0; i < 3; ++i) {
          CHECK(std::isnan(run.shared[i]));
          CHECK(std::isnan(run.heads[i]));
        }
        CHECK(run.conditions == std::vector<Condition>{Condition::used, Condition::non_finite, Condition::used});
        CHECK(run.state == state);
      }
    });
  }
}

TEST_CASE("skip: a non-finite task is absent, by selection") {
  std::mt19937_64 random(6);
  WeightingOptions options;
  options.non_finite = NonFinite::skip;
  for (const double bad : {not_a_number, infinity}) {
    for_every_rule(4, [&](const auto& rule) {
      using Rule = std::decay_t<decltype(rule)>;
      if constexpr (Rule::needs.gram || Rule::needs.losses) {
        WeightingRunner<Rule> skipping(rule, 4, options);
        WeightingRunner<Rule> masked(rule, 4);
        for (int k = 0; k < 5; ++k) {
          Step step = step_of(random_jacobian(4, 12, random, 0.5));
          step.epoch = k / 2;
          step.step = k;
          Step poisoned = step;
          if (k % 2 == 1) {
            poison(poisoned, 2, bad);
            step = without(step, 2);
          }
          skipping(poisoned);
          masked(step);
          INFO(Rule::name << ", step " << k);
          CHECK(skipping.shared == masked.shared);
          CHECK(skipping.heads == masked.heads);
          CHECK(skipping.state == masked.state);
          CHECK((skipping.conditions[2] == Condition::non_finite) == (k % 2 == 1));
        }
      }
    });
  }
}

TEST_CASE("throw: the weights of skip, and no state moves") {
  std::mt19937_64 random(7);
  WeightingOptions skip;
  skip.non_finite = NonFinite::skip;
  WeightingOptions raise;
  raise.non_finite = NonFinite::throw_error;
  for_every_rule(4, [&](const auto& rule) {
    using Rule = std::decay_t<decltype(rule)>;
    if constexpr (Rule::needs.gram || Rule::needs.losses) {
      WeightingRunner<Rule> skipping(rule, 4, skip);
      WeightingRunner<Rule> raising(rule, 4, raise);
      Step step = step_of(random_jacobian(4, 12, random, 0.5));
      skipping(step);
      raising(step);
      const std::vector<double> state = raising.state;
      CHECK(state == skipping.state);
      step = step_of(random_jacobian(4, 12, random, 0.5));
      step.epoch = 1;
      poison(step, 0, not_a_number);
      skipping(step);
      raising(step);
      INFO(Rule::name);
      CHECK(raising.shared == skipping.shared);
      CHECK(raising.heads == skipping.heads);
      CHECK(raising.conditions[0] == Condition::non_finite);
      CHECK(raising.state == state);
    }
  });
}

TEST_CASE("a NaN product of two finite gradients counts against both") {
  Step step = step_of(Jacobian::Identity(3, 3));
  step.gram[1] = step.gram[3] = not_a_number;
  WeightingOptions options;
  options.non_finite = NonFinite::skip;
  WeightingRunner<IMTL_G> run(IMTL_G(), 3, options);
  run(step);
  CHECK(run.conditions == std::vector<Condition>{Condition::non_finite, Condition::non_finite, Condition::used});
}

TEST_CASE("a zero gradient: nothing for the trunk, the last weight for the head") {
  const Step both = step_of(two_tasks(3));
  Jacobian J = two_tasks(3);
  J.row(1).setZero();
  const Step zero = step_of(J);
  WeightingRunner<IMTL_G> run(IMTL_G(), 2);
  run(zero);
  CHECK(run.shared == std::vector<double>{1, 0});
  CHECK(run.heads == std::vector<double>{1, 1});
  CHECK(run.conditions == std::vector<Condition>{Condition::used, Condition::zero});
  run(both);
  run(zero);
  CHECK(run.shared[0] == Approx(.75));
  CHECK(run.shared[1] == 0);
  CHECK(run.heads[1] == Approx(.25));

  for (const double silent : {0.0, 1e-200}) {  // both zero; and a static weight that makes it so
    WeightingOptions options;
    options.before = {silent, silent};
    WeightingRunner<IMTL_G> none(IMTL_G(), 2, options);
    none(both);
    CHECK(none.shared == std::vector<double>{silent, silent});  // nothing is known of what lies downstream of the surface
    CHECK(none.heads == std::vector<double>{silent, silent});
    CHECK(none.conditions == std::vector<Condition>{Condition::zero, Condition::zero});
  }
}

TEST_CASE("nothing usable in a step: weights 0, the rule is not called, no state moves") {
  Step step = step_of(Jacobian::Identity(3, 3));
  step = without(without(step, 0), 2);
  poison(step, 1, not_a_number);
  WeightingOptions options;
  options.non_finite = NonFinite::skip;
  for_every_rule(3, [&](const auto& rule) {
    using Rule = std::decay_t<decltype(rule)>;
    if constexpr (Rule::needs.gram || Rule::needs.losses) {
      WeightingRunner<Rule> run(rule, 3, options);
      const std::vector<double> state = run.state;
      run(step);
      CHECK(run.shared == std::vector<double>{0, 0, 0});
      CHECK(run.heads == std::vector<double>{0, 0, 0});
      CHECK(run.state == state);
    }
  });
}

TEST_CASE("a rule that asks for no Gram matrix heeds the policy where one is shown") {
  std::mt19937_64 random(5);
  Step step = step_of(random_jacobian(3, 10, random));
  step.gram[1 * 3 + 1] = std::numeric_limits<double>::infinity();
  WeightingOptions options;
  options.non_finite = NonFinite::skip;
  WeightingRunner<fuller::Uniform> skips(fuller::Uniform(), 3, options);
  skips(step);
  CHECK(skips.conditions[1] == Condition::non_finite);
  CHECK(skips.shared == std::vector<double>{1, 0, 1});
  CHECK(skips.heads == std::vector<double>{1, 0, 1});
  WeightingRunner<fuller::Uniform> propagates(fuller::Uniform(), 3);
  propagates(step);
  CHECK(propagates.shared == std::vector<double>{1, 1, 1});
}
