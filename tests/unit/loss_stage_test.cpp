// SPDX-License-Identifier: Apache-2.0
// A loss stage before any rule is what a trainer's own transformation of the losses would be.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>

#include "support/catch.hpp"
#include "support/emulated_lanes.hpp"
#include "support/steps.hpp"

using fuller::Condition;
using fuller::LossStage;
using fuller::NonFinite;
using fuller::WeightingOptions;
using fuller::testing::for_every_rule;
using fuller::testing::Jacobian;
using fuller::testing::Step;
using fuller::testing::step_of;
using fuller::testing::WeightingRunner;

namespace {

const std::vector<LossStage> stages{LossStage::log, LossStage::initial, LossStage::l2, LossStage::loss, LossStage::loss_plus};

WeightingOptions staged(LossStage stage) {
  WeightingOptions options;
  options.stage = stage;
  return options;
}

/// A loss and the factor of its gradient, after a stage.
struct Transformed {
  double loss;
  double factor;
};

/// Written out apart from the library: first, norm and loss of the step, and the loss of the task's first.
Transformed by_hand(LossStage stage, double loss, double norm, double first) {
  switch (stage) {
    case LossStage::log:
      return {std::log(loss), 1 / loss};
    case LossStage::initial:
      return {loss / first, 1 / first};
    case LossStage::l2:
      return {loss / norm, 1 / norm};
    case LossStage::loss:
      return {1, 1 / loss};
    case LossStage::loss_plus:
      return {1 / norm, 1 / (norm * loss)};
    default:
      return {loss, 1};
  }
}

void check_near(const std::vector<double>& actual, const std::vector<double>& expected, double tolerance) {
  REQUIRE(actual.size() == expected.size());
  double largest = 0;
  for (const double value : expected) {
    largest = std::isfinite(value) ? std::max(largest, std::abs(value)) : largest;
  }
  for (std::size_t i = 0; i < actual.size(); ++i) {
    INFO("task " << i << ": " << actual[i] << ", expected " << expected[i]);
    CHECK(((std::isnan(actual[i]) && std::isnan(expected[i])) || std::abs(actual[i] - expected[i]) <= tolerance * largest));
  }
}

/// Gradients in few tasks and many dimensions, which every rule's own system is well conditioned for; losses above 1.
struct Scene {
  explicit Scene(int tasks) : random(static_cast<unsigned>(7 * tasks)), count(tasks) {}

  void next() {
    J = fuller::testing::random_jacobian(count, 12, random, 0.3, 2);
    std::lognormal_distribution<double> loss(0.5, 0.5);
    losses.clear();
    for (int i = 0; i < count; ++i) {
      losses.push_back(1 + loss(random));
    }
  }

  std::mt19937_64 random;
  int count;
  Jacobian J;
  std::vector<double> losses;
};

}  // namespace

TEST_CASE("a stage gives every rule the weights that transformed losses would have, times the derivative") {
  constexpr double loss_scale = 1024;
  for (const int T : {2, 3, 4}) {
    for (const LossStage stage : stages) {
      for_every_rule(T, [&](const auto& rule) {
        using Rule = std::decay_t<decltype(rule)>;
        INFO(Rule::name << ", T = " << T << ", stage " << static_cast<int>(stage));
        WeightingOptions options;
        std::vector<double> before;
        for (int i = 0; i < T; ++i) {
          before.push_back(1 + .5 * i);
        }
        options.before = fuller::TaskVector(before);
        WeightingRunner<Rule> transformed(rule, T, options);
        options.stage = stage;
        WeightingRunner<Rule> with_stage(rule, T, options);
        Scene scene(T);
        std::vector<double> first(std::size_t(T), 0.0);
        for (int k = 0; k < 4; ++k) {
          scene.next();
          Step raw = step_of(loss_scale * scene.J);
          raw.losses = scene.losses;
          raw.loss_scale = loss_scale;
          raw.step = k;
          raw.epoch = k / 2;
          if (k == 2) {  // a task alone, or two of more
            raw.present[0] = 0;
          }
          Jacobian J = loss_scale * scene.J;
          std::vector<double> factors;
          Step hand = raw;
          for (int i = 0; i < T; ++i) {
            const auto at = std::size_t(i);
            first[at] = first[at] > 0 || raw.present[at] == 0 ? first[at] : raw.losses[at];
            const Transformed now = by_hand(stage, raw.losses[at], scene.J.row(i).norm(), first[at]);
            J.row(i) *= now.factor;
            hand.losses[at] = now.loss;
            factors.push_back(now.factor);
          }
          hand.gram = step_of(J).gram;
          with_stage(raw);
          transformed(hand);
          std::vector<double> shared;
          std::vector<double> heads;
          for (std::size_t i = 0; i < factors.size(); ++i) {
            shared.push_back(transformed.shared[i] * factors[i]);
            heads.push_back(transformed.heads[i] * factors[i]);
          }
          check_near(with_stage.shared, shared, 1e-8);
          check_near(with_stage.heads, heads, 1e-8);
          CHECK(with_stage.conditions == transformed.conditions);
          for (std::size_t i = 0; i < factors.size(); ++i) {  // and what it did can be read
            const double kept = with_stage.state[with_stage.state.size() - factors.size() + i];
            CHECK((raw.present[i] == 0 || kept == Approx(factors[i]).epsilon(1e-12)));
          }
        }
      });
    }
  }
}

TEST_CASE("under log a loss's unit does not matter, under l2 no gradient's length does, under initial neither from the start") {
  Scene scene(3);
  scene.next();
  Step plain = step_of(scene.J);
  plain.losses = {1.5, 2, 4};
  Jacobian in_units = scene.J;
  in_units.row(1) *= 1e3;
  Step other = step_of(in_units);
  other.losses = {1.5, 2e3, 4};
  for (const LossStage stage : {LossStage::log, LossStage::initial, LossStage::loss}) {
    INFO(static_cast<int>(stage));
    WeightingRunner<fuller::Uniform> a(fuller::Uniform(), 3, staged(stage));
    WeightingRunner<fuller::Uniform> b(fuller::Uniform(), 3, staged(stage));
    const Eigen::VectorXd step_a = fuller::testing::update(scene.J, a(plain));
    const Eigen::VectorXd step_b = fuller::testing::update(in_units, b(other));
    CHECK((step_a - step_b).norm() < 1e-13 * step_a.norm());
  }
  WeightingRunner<fuller::Uniform> unit(fuller::Uniform(), 3, staged(LossStage::l2));
  const std::vector<double> weights = unit(other);
  for (int i = 0; i < 3; ++i) {
    CHECK(weights[std::size_t(i)] * in_units.row(i).norm() == Approx(1).epsilon(1e-13));
  }
}

TEST_CASE("the stage comes first: static weights before a rule multiply what it makes of the losses") {
  Step step = step_of(Jacobian::Identity(2, 2));
  step.losses = {2, 4};
  WeightingOptions options = staged(LossStage::log);
  options.before = {1, 3};
  options.after = {1, 5};
  WeightingRunner<fuller::Uniform> run(fuller::Uniform(), 2, options);
  CHECK(run(step) == std::vector<double>{.5, 15.0 / 4});
}

TEST_CASE("IMTL_G after log is the hybrid IMTL: the weights of its loss part, 1 / L, inside its gradient part") {
  Scene scene(3);
  scene.next();
  Step step = step_of(scene.J);
  step.losses = scene.losses;
  WeightingRunner<fuller::IMTL_G> run(fuller::IMTL_G(), 3, staged(LossStage::log));
  const std::vector<double> w = run(step);
  // Equal projections on each gradient; and of the scaled losses e^s L - s at its minimum, s = -log L, so weights w_i L_i add up
  // to 1.
  const Eigen::VectorXd d = fuller::testing::update(scene.J, w);
  const double p = d.dot(scene.J.row(0)) / scene.J.row(0).norm();
  double sum = 0;
  for (int i = 0; i < 3; ++i) {
    CHECK(d.dot(scene.J.row(i)) / scene.J.row(i).norm() == Approx(p).epsilon(1e-10));
    sum += w[std::size_t(i)] * step.losses[std::size_t(i)];
  }
  CHECK(sum == Approx(1).epsilon(1e-12));
}

TEST_CASE("a loss that a stage cannot take is bad input, under each policy") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const LossStage stage : stages) {
    for (const double bad : {0.0, -2.0, nan, std::numeric_limits<double>::infinity()}) {
      if (stage == LossStage::l2) {
        continue;  // looks at no loss
      }
      INFO("stage " << static_cast<int>(stage) << ", loss " << bad);
      Step step = step_of(Jacobian::Identity(3, 3));
      step.losses = {2, bad, 4};
      for (const NonFinite policy : {NonFinite::propagate, NonFinite::skip, NonFinite::throw_error}) {
        WeightingOptions options = staged(stage);
        options.non_finite = policy;
        WeightingRunner<fuller::Uniform> run(fuller::Uniform(), 3, options);
        const std::vector<double> before = run.state;
        run(step);
        CHECK(run.conditions == std::vector<Condition>{Condition::used, Condition::non_finite, Condition::used});
        if (policy == NonFinite::propagate) {
          CHECK(std::all_of(run.shared.begin(), run.shared.end(), [](double w) { return std::isnan(w); }));
        } else {
          CHECK(run.shared == std::vector<double>{.5, 0, .25});
        }
        CHECK((run.state == before) == (policy != NonFinite::skip));
      }
    }
  }
  // Only the first loss must be > 0 to be divided by.
  WeightingRunner<fuller::Uniform> initial(fuller::Uniform(), 2, staged(LossStage::initial));
  Step step = step_of(Jacobian::Identity(2, 2));
  step.losses = {2, 4};
  initial(step);
  step.losses = {-1, 0};
  CHECK(initial(step) == std::vector<double>{.5, .25});
}

TEST_CASE("a task without a gradient keeps the factor that its last gradient had") {
  for (const LossStage stage : {LossStage::l2, LossStage::loss_plus}) {
    WeightingRunner<fuller::Uniform> run(fuller::Uniform(), 2, staged(stage));
    Step step = step_of((Jacobian(2, 2) << 2, 0, 0, 4).finished());
    step.losses = {1, 1};
    CHECK(run(step) == std::vector<double>{.5, .25});
    step = step_of((Jacobian(2, 2) << 8, 0, 0, 0).finished());
    step.losses = {1, 1};
    CHECK(run(step) == std::vector<double>{.125, 0});
    CHECK(run.heads == std::vector<double>{.125, .25});
    CHECK(run.conditions[1] == Condition::zero);
    WeightingRunner<fuller::Uniform> never(fuller::Uniform(), 2, staged(stage));
    never(step);
    CHECK(never.heads == std::vector<double>{.125, 1});
  }
}

TEST_CASE("32 lanes and a fixed T give the bits of one lane under every stage") {
  constexpr int T = 5;
  for (const LossStage stage : stages) {
    const auto check = [&](const auto& rule) {
      using Rule = std::decay_t<decltype(rule)>;
      WeightingRunner<Rule> one(rule, T, staged(stage));
      WeightingRunner<Rule> fixed(rule, T, staged(stage));
      WeightingRunner<Rule> many(rule, T, staged(stage));
      Scene scene(T);
      for (int k = 0; k < 3; ++k) {
        scene.next();
        Step step = step_of(scene.J);
        step.losses = scene.losses;
        step.present[std::size_t(k)] = 0;
        one(step);
        fixed.template call<T>(fuller::Serial{}, step);
        fuller::testing::on_all_lanes([&](auto lane) { many.template call<fuller::dynamic>(lane, step); });
        CHECK(fixed.shared == one.shared);
        CHECK(many.shared == one.shared);
        CHECK(many.heads == one.heads);
        CHECK(many.conditions == one.conditions);
        CHECK(fixed.state == one.state);
        CHECK(many.state == one.state);
      }
    };
    check(fuller::GradNorm());
    check(fuller::Uniform());
  }
}

TEST_CASE("a saved factor that no step can have left is refused") {
  const fuller::Weighting<fuller::Uniform> weighting(fuller::Uniform(), staged(LossStage::initial));
  std::vector<double> state(std::size_t(weighting.state_size(2)));
  weighting.initialise(2, state.data());
  weighting.check_state(2, state.data());
  state.back() = -1;
  std::string said;
  try {
    weighting.check_state(2, state.data());
  } catch (const fuller::Error& error) {
    said = error.what();
  }
  CHECK(said.find("loss stage's factor of number 1") != std::string::npos);
}
