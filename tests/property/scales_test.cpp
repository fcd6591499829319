// SPDX-License-Identifier: Apache-2.0
// Gradients of any length: a common power of two changes no bit, and no product of Gram entries over- or underflows on the way to
// a result that doubles can hold.
#include <cmath>
#include <random>
#include <type_traits>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>

#include "support/catch.hpp"
#include "support/steps.hpp"

using fuller::Condition;
using fuller::WeightingOptions;
using fuller::testing::for_every_rule;
using fuller::testing::has_a_unit;
using fuller::testing::Jacobian;
using fuller::testing::random_jacobian;
using fuller::testing::Step;
using fuller::testing::step_of;
using fuller::testing::WeightingRunner;

namespace {

/// The step with every gradient times 2^exponent.
Step scaled(Step step, int exponent) {
  for (double& entry : step.gram) {
    entry = std::ldexp(entry, 2 * exponent);
  }
  return step;
}

std::vector<Step> training(int T, int count) {
  std::mt19937_64 random(21 + unsigned(T));
  std::vector<Step> all;
  for (int k = 0; k < count; ++k) {
    Step step = step_of(random_jacobian(T, T + 2, random, 0.7));
    step.step = k;
    step.epoch = k / 3;
    if (T > 1 && k % 4 == 3) {
      step.present[std::size_t(k % T)] = 0;
    }
    all.push_back(step);
  }
  return all;
}

}  // namespace

TEST_CASE("gradients times a power of two, from 2^-500 to 2^500, leave the weights bit for bit alone") {
  for (const int T : {1, 2, 3, 4, 9}) {
    const std::vector<Step> steps = training(T, 12);
    for_every_rule(T, [&](const auto& rule) {
      using Rule = std::decay_t<decltype(rule)>;
      if (has_a_unit(rule)) {
        return;
      }
      for (const int exponent : {-500, -499, -333, -100, 100, 257, 499, 500}) {
        WeightingRunner<Rule> plain(rule, T);
        WeightingRunner<Rule> other(rule, T);
        for (const Step& step : steps) {
          plain(step);
          other(scaled(step, exponent));
          INFO(Rule::name << ", T = " << T << ", 2^" << exponent << ", step " << step.step);
          CHECK(other.shared == plain.shared);
          CHECK(other.heads == plain.heads);
          CHECK(other.conditions == plain.conditions);
        }
      }
    });
  }
}

TEST_CASE("GradNorm with SGD: gradients times a power of two under a loss scale of as much change no bit") {
  const std::vector<Step> steps = training(3, 12);
  for (const int exponent : {-500, -100, 100, 500}) {
    WeightingRunner<fuller::GradNorm> plain(fuller::GradNorm(), 3);
    WeightingRunner<fuller::GradNorm> other(fuller::GradNorm(), 3);
    for (const Step& step : steps) {
      Step large = scaled(step, exponent);
      large.loss_scale = std::ldexp(1.0, exponent);
      CHECK(other(large) == plain(step));
    }
  }
}

TEST_CASE("wPCGrad of gradients of 1e80 and 1e-80 is that of gradients of 1") {
  // By hand, task 0 drawn first: p_1 = (0, 1, 0), p_2 = (0, -1, 1), then p_2 = (0, 0, 1): weights 1 + 1 + 2, 1 + 1, 1 in the
  // order 0, 1, 2. Every order leaves a first task alone and raises others.
  Jacobian J(3, 3);
  J << 1, 0, 0, -1, 1, 0, -1, -1, 1;
  for (const bool literal : {false, true}) {
    fuller::WPCGradOptions options;
    options.literal_algorithm_2 = literal;
    const fuller::WPCGrad<fuller::DTP> rule(options);
    WeightingRunner<fuller::WPCGrad<fuller::DTP>> run(rule, 3);
    const std::vector<double> expected = run(step_of(J));
    CHECK(expected != std::vector<double>{1, 1, 1});
    for (const double scale : {1e80, 1e150, 1e-80, 1e-150}) {
      const std::vector<double> weights = run(step_of(scale * J));
      INFO("literal " << literal << ", scale " << scale);
      for (std::size_t i = 0; i < 3; ++i) {
        CHECK(weights[i] == Approx(expected[i]).epsilon(1e-13));
      }
    }
  }
}

TEST_CASE("wPCGrad to the letter does not overflow where two long gradients meet a short one") {
  // Along g_0 of length 1e-100, in conflict with two of 1e100: a_1 a_2 is 1e400, a_1 a_2 |g_0|^2 is 1e200. Both lose what they
  // have along g_0, whatever the order: p_1 = (0, 1), p_2 = (0, 1) times 1e100.
  Jacobian J(3, 2);
  J << 1e-100, 0, -1e100, 1e100, -1e100, 1e100;
  fuller::WPCGradOptions options;
  options.literal_algorithm_2 = true;
  fuller::testing::Runner<fuller::WPCGrad<fuller::DTP>> run(fuller::WPCGrad<fuller::DTP>(options), 3);
  for (int k = 0; k < 6; ++k) {
    Step step = step_of(J);
    step.step = k;
    for (const double weight : run(step)) {
      CHECK(std::isfinite(weight));
    }
    // 2e200 where g_0 is drawn first; where it is projected itself, less. Never infinite, never NaN.
    CHECK(run.weights()[0] <= 2e200 * (1 + 1e-9));
  }
}

TEST_CASE("static weights before a rule meet gradients whose product alone is out of range") {
  // s_i s_j <g_i, g_j> is of order 1 throughout: s_i s_j or s_i <g_i, g_j> alone is 1e+-400.
  const Jacobian J = (Jacobian(2, 2) << 3, 0, 2, 2).finished();
  const std::vector<double> expected = WeightingRunner<fuller::IMTL_G>(fuller::IMTL_G(), 2)(step_of(J));
  for (const double scale : {1e-150, 1e150}) {
    WeightingOptions options;
    options.before = {1 / scale, 1 / scale};
    WeightingRunner<fuller::IMTL_G> run(fuller::IMTL_G(), 2, options);
    const std::vector<double> weights = run(step_of(scale * J));
    CHECK(run.conditions == std::vector<Condition>{Condition::used, Condition::used});
    for (std::size_t i = 0; i < 2; ++i) {
      CHECK(weights[i] * scale == Approx(expected[i]).epsilon(1e-13));
    }
  }
}

TEST_CASE("a static weight that makes a gradient or a loss infinite is seen as what it is") {
  const Step step = step_of((Jacobian(2, 2) << 1e100, 0, 0, 1).finished());
  WeightingOptions options;
  options.before = {1e100, 1};
  options.non_finite = fuller::NonFinite::skip;
  WeightingRunner<fuller::IMTL_G> run(fuller::IMTL_G(), 2, options);
  run(step);
  CHECK(run.conditions == std::vector<Condition>{Condition::non_finite, Condition::used});
  CHECK(run.shared == std::vector<double>{0, 1});

  Step losses = step_of(Jacobian::Identity(2, 2));
  losses.losses = {1e300, 1};
  WeightingRunner<fuller::DWA> dwa(fuller::DWA(), 2, options);
  dwa(losses);
  CHECK(dwa.conditions == std::vector<Condition>{Condition::non_finite, Condition::used});
}
