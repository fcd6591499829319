// SPDX-License-Identifier: Apache-2.0
// The number of lanes, and whether the compiler knows the number of tasks, change no bit: 32 threads against one, on the host.
#include <algorithm>
#include <random>
#include <type_traits>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>
#include <fuller/gates/gates.hpp>

#include "support/catch.hpp"
#include "support/emulated_lanes.hpp"
#include "support/gate_steps.hpp"
#include "support/known.hpp"
#include "support/steps.hpp"

using fuller::testing::for_every_rule;
using fuller::testing::on_all_lanes;
using fuller::testing::random_jacobian;
using fuller::testing::Runner;
using fuller::testing::Step;
using fuller::testing::step_of;
using fuller::testing::WeightingRunner;

namespace {

constexpr int steps = 3;

/// Steps over two epochs; in the last, every third task is absent. Gradients in few dimensions, so that there are many conflicts.
std::vector<Step> some_steps(int T) {
  std::mt19937_64 random(static_cast<unsigned>(T));
  std::lognormal_distribution<double> loss;
  std::vector<Step> all;
  for (int k = 0; k < steps; ++k) {
    Step step = step_of(random_jacobian(T, T + 5, random, 0.5));
    step.step = k;
    step.epoch = k / 2;
    for (double& value : step.losses) {
      value = loss(random);
    }
    for (int i = 1; i < T && k == steps - 1; i += 3) {
      step.present[std::size_t(i)] = 0;
    }
    all.push_back(step);
  }
  return all;
}

/// Rules with a thousand barriers and more in a call of 64 tasks, each of them 32 threads that are woken.
template <class Rule>
constexpr bool has_many_barriers =
    std::is_same_v<Rule, fuller::AlignedMTL> || std::is_same_v<Rule, fuller::FairGrad> || std::is_same_v<Rule, fuller::NashMTL> ||
    std::is_same_v<Rule, fuller::DualProj> || std::is_same_v<Rule, fuller::MGDA> || std::is_same_v<Rule, fuller::CAGrad> ||
    std::is_same_v<Rule, fuller::PCD>;

fuller::WeightingOptions with_static_weights(int T) {
  fuller::WeightingOptions options;
  options.before = fuller::TaskVector(std::vector<double>(static_cast<std::size_t>(T), 1.5));
  return options;
}

void check_lanes(int T) {
  const std::vector<Step> all = some_steps(T);
  for_every_rule(T, [&](const auto& rule) {
    using Rule = std::decay_t<decltype(rule)>;
    INFO(Rule::name << ", T = " << T);
    Runner<Rule> one(rule, T);
    Runner<Rule> many(rule, T);
    WeightingRunner<Rule> one_weighting(rule, T, with_static_weights(T));
    WeightingRunner<Rule> many_weighting(rule, T, with_static_weights(T));
    for (const Step& step : all) {
      if (T > 20 && has_many_barriers<Rule> && step.step != steps - 1) {
        continue;
      }
      one(step);
      one_weighting(step);
      on_all_lanes([&](auto lane) {
        many.template call<fuller::dynamic>(lane, step);
        many_weighting.template call<fuller::dynamic>(lane, step);
      });
      CHECK(many.weights() == one.weights());
      CHECK(many_weighting.shared == one_weighting.shared);
      CHECK(many_weighting.heads == one_weighting.heads);
      CHECK(many_weighting.conditions == one_weighting.conditions);
    }
    CHECK(many.state == one.state);
    CHECK(many_weighting.state == one_weighting.state);
  });
}

template <int T>
void check_fixed() {
  const std::vector<Step> all = some_steps(T);
  for_every_rule(T, [&](const auto& rule) {
    using Rule = std::decay_t<decltype(rule)>;
    INFO(Rule::name << ", T = " << T);
    Runner<Rule> one(rule, T);
    Runner<Rule> fixed(rule, T);
    WeightingRunner<Rule> one_weighting(rule, T, with_static_weights(T));
    WeightingRunner<Rule> fixed_weighting(rule, T, with_static_weights(T));
    for (const Step& step : all) {
      CHECK(fixed.template call<T>(fuller::Serial{}, step) == one(step));
      one_weighting(step);
      fixed_weighting.template call<T>(fuller::Serial{}, step);
      CHECK(fixed_weighting.shared == one_weighting.shared);
    }
    CHECK(fixed.state == one.state);
  });
}

}  // namespace

TEST_CASE("32 lanes give the bits of one lane, few tasks") {
  for (const int T : {1, 2, 3, 4}) {
    check_lanes(T);
  }
}

TEST_CASE("32 lanes give the bits of one lane, many tasks") {
  for (const int T : {8, 20, 64}) {
    check_lanes(T);
  }
}

// Each T is every rule compiled once more.
TEST_CASE("A fixed T gives the bits of a T at run time") {
  check_fixed<1>();
  check_fixed<3>();
  check_fixed<8>();
}

TEST_CASE("32 lanes give the bits of one lane where the cosine matrix is singular") {
  for (const int T : {3, 4, 40}) {
    const Step step = step_of(fuller::testing::Jacobian::Constant(T, 3, .7));
    Runner<fuller::IMTL_G> one(fuller::IMTL_G(), T);
    Runner<fuller::IMTL_G> many(fuller::IMTL_G(), T);
    on_all_lanes([&](auto lane) { many.call<fuller::dynamic>(lane, step); });
    CHECK(many.weights() == one(step));
  }
}

TEST_CASE("32 lanes give the bits of one lane under the policies") {
  Step step = some_steps(5)[0];
  step.losses[2] = std::nan("");
  for (const auto policy : {fuller::NonFinite::propagate, fuller::NonFinite::skip, fuller::NonFinite::throw_error}) {
    fuller::WeightingOptions options;
    options.non_finite = policy;
    WeightingRunner<fuller::GradNorm> one(fuller::GradNorm(), 5, options);
    WeightingRunner<fuller::GradNorm> many(fuller::GradNorm(), 5, options);
    one(step);
    on_all_lanes([&](auto lane) { many.call<fuller::dynamic>(lane, step); });
    for (std::size_t i = 0; i < 5; ++i) {
      const bool both_nan = std::isnan(many.shared[i]) && std::isnan(one.shared[i]);
      CHECK((both_nan || many.shared[i] == one.shared[i]));
    }
    CHECK(many.conditions == one.conditions);
    CHECK(many.state == one.state);
  }
}

TEST_CASE("32 lanes and a fixed M give the bits of one lane for every gate law") {
  const auto check = [](auto fixed) {
    constexpr int M = decltype(fixed)::value;
    fuller::testing::for_every_known_gate([&](const auto& law) {
      using Law = std::decay_t<decltype(law)>;
      INFO(Law::name << ", M = " << M);
      std::mt19937_64 random(M);
      std::lognormal_distribution<double> level(-1, 1);
      fuller::testing::GateRunner<Law> one(law, M);
      fuller::testing::GateRunner<Law> other(law, M);
      fuller::testing::GateRunner<Law> many(law, M);
      for (int k = 0; k < 4; ++k) {
        std::vector<double> levels(M);
        std::generate(levels.begin(), levels.end(), [&] { return level(random); });
        fuller::testing::BranchStep step = fuller::testing::BranchStep::of(levels);
        step.present[std::size_t(k % M)] = k != 2;
        const std::vector<double> expected = one(step);
        other.template call<M>(fuller::Serial{}, step);
        on_all_lanes([&](auto lane) { many.template call<fuller::dynamic>(lane, step); });
        CHECK(other.scales == expected);
        CHECK(many.scales == expected);
        CHECK(other.state == one.state);
        CHECK(many.state == one.state);
      }
    });
  };
  check(std::integral_constant<int, 2>());
  check(std::integral_constant<int, 3>());
  check(std::integral_constant<int, 40>());
}
