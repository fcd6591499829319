// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include <fuller/calibrators/grad_norm.hpp>

#include "support/catch.hpp"
#include "support/steps.hpp"

using fuller::GradNorm;
using fuller::GradNormOptions;
using fuller::testing::Runner;
using fuller::testing::Step;

namespace {

Step step_with(std::vector<double> norms, std::vector<double> losses) {
  Step step;
  step.tasks = int(norms.size());
  step.gram.assign(norms.size() * norms.size(), 0);
  for (std::size_t i = 0; i < norms.size(); ++i) {
    step.gram[i * norms.size() + i] = norms[i] * norms[i];
  }
  step.losses = std::move(losses);
  step.present.assign(norms.size(), 1);
  return step;
}

/// Options that show an update in the step that causes it.
GradNormOptions at_once() {
  GradNormOptions options;
  options.use = GradNormOptions::Use::updated;
  return options;
}

GradNormOptions from_ones(std::size_t tasks) {
  GradNormOptions options = at_once();
  options.initial_losses = fuller::TaskVector(std::vector<double>(tasks, 1.0));
  return options;
}

double sum(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

}  // namespace

TEST_CASE("GradNorm: one SGD step worked out by hand") {
  // r = (2/3, 4/3), targets 4 r^1.5 = (2.177324, 6.158403), gradient (-2, -6): (1.05, 1.15), scaled to 2.
  Runner<GradNorm> run(GradNorm(from_ones(2)), 2);
  const std::vector<double> weights = run(step_with({2, 6}, {.5, 1}));
  CHECK(weights[0] == Approx(2 * 1.05 / 2.2).epsilon(1e-14));
  CHECK(weights[1] == Approx(2 * 1.15 / 2.2).epsilon(1e-14));
}

TEST_CASE("GradNorm: equal rates pull to equal norms, by hand") {
  // Targets (4, 4), gradient (-2, +6): (1.05, 0.85), scaled to 2.
  Runner<GradNorm> run(GradNorm(from_ones(2)), 2);
  const std::vector<double> weights = run(step_with({2, 6}, {1, 1}));
  CHECK(weights[0] == Approx(2 * 1.05 / 1.9).epsilon(1e-14));
  CHECK(weights[1] == Approx(2 * .85 / 1.9).epsilon(1e-14));
}

TEST_CASE("GradNorm's step is the derivative of its objective") {
  // The objective sum |w_i n_i - target_i|, targets constant, differentiated numerically at w = 1.
  const std::vector<double> n = {1, 2, 5, 3};
  const std::vector<double> losses = {2, 1, .5, 3};
  const auto objective = [&](const std::vector<double>& w) {
    double value = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      value += std::abs(w[i] * n[i] - sum(n) / 4 * std::pow(losses[i] / (sum(losses) / 4), 1.5));
    }
    return value;
  };
  std::vector<double> stepped(4);
  for (std::size_t i = 0; i < 4; ++i) {
    std::vector<double> above(4, 1.0);
    std::vector<double> below(4, 1.0);
    above[i] += 1e-6;
    below[i] -= 1e-6;
    stepped[i] = 1 - .025 * (objective(above) - objective(below)) / 2e-6;
  }
  Runner<GradNorm> run(GradNorm(from_ones(4)), 4);
  const std::vector<double> weights = run(step_with(n, losses));
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(weights[i] == Approx(4 * stepped[i] / sum(stepped)).epsilon(1e-8));
  }
}

TEST_CASE("GradNorm with Adam: two steps worked out by hand") {
  GradNormOptions options = from_ones(2);
  options.optimizer = GradNormOptions::Optimizer::adam;
  options.learning_rate = .1;
  Runner<GradNorm> run(GradNorm(options), 2);
  // The first step of Adam is the learning rate in the direction of the sign: (1.1, 0.9).
  std::vector<double> weights = run(step_with({2, 6}, {1, 1}));
  CHECK(weights[0] == Approx(1.1).epsilon(1e-14));
  CHECK(weights[1] == Approx(.9).epsilon(1e-14));
  // Then gradients (-4, +6) at norms (4, 6), G = (4.4, 5.4), mean 4.9: signs as before.
  weights = run(step_with({4, 6}, {1, 1}));
  const auto adam = [](double first_gradient, double second_gradient) {
    const double m = (.9 * .1 * first_gradient + .1 * second_gradient) / (1 - .81);
    const double v = (.999 * .001 * first_gradient * first_gradient + .001 * second_gradient * second_gradient) / (1 - .998001);
    return .1 * m / std::sqrt(v);
  };
  const double w_1 = 1.1 - adam(-2, -4);
  const double w_2 = .9 - adam(6, 6);
  CHECK(weights[0] == Approx(2 * w_1 / (w_1 + w_2)).epsilon(1e-12));
  CHECK(weights[1] == Approx(2 * w_2 / (w_1 + w_2)).epsilon(1e-12));
}

TEST_CASE("GradNorm measures L(0) at a task's first step") {
  Runner<GradNorm> measured(GradNorm(at_once()), 3);
  GradNormOptions given = at_once();
  given.initial_losses = {4, 5, 6};
  Runner<GradNorm> told(GradNorm(given), 3);
  Step first = step_with({1, 2, 3}, {4, 5, 999});
  first.present[2] = 0;
  measured(first);
  told(first);
  const Step second = step_with({1, 2, 3}, {2, 2.5, 6});
  measured(second);
  told(second);
  const Step third = step_with({1, 2, 3}, {1, 2, 5});
  CHECK(measured(third) == told(third));
}

TEST_CASE("an absent task keeps its GradNorm weight, and the others share the rest") {
  Runner<GradNorm> run(GradNorm(), 3);
  run(step_with({1, 2, 5}, {1, 1, 1}));
  const std::vector<double> before = run(step_with({1, 2, 5}, {1, .9, .5}));
  Step step = step_with({1, 2, std::nan("")}, {1, .5, std::nan("")});
  step.present[2] = 0;
  const std::vector<double> state = run.state;
  const std::vector<double> without = run(step);
  CHECK(without[2] == 0);
  CHECK(without[0] != before[0]);
  CHECK(without[0] + without[1] == Approx(3 - state[2]).epsilon(1e-14));
  for (std::size_t part = 0; part < 5; ++part) {
    CHECK(run.state[part * 3 + 2] == state[part * 3 + 2]);
  }
}

TEST_CASE("GradNorm with exponent 0 settles where the weighted norms are equal") {
  for (const auto optimizer : {GradNormOptions::Optimizer::sgd, GradNormOptions::Optimizer::adam}) {
    GradNormOptions options = from_ones(3);
    options.optimizer = optimizer;
    options.alpha = 0;
    options.learning_rate = 1e-4;
    Runner<GradNorm> run(GradNorm(options), 3);
    std::vector<double> weights;
    for (int k = 0; k < 60000; ++k) {
      weights = run(step_with({1, 2, 4}, {.5, 1, 1.5}));
    }
    // Proportional to 1 : 1/2 : 1/4, sum 3.
    CHECK(weights[0] == Approx(12.0 / 7).margin(5e-3));
    CHECK(weights[1] == Approx(6.0 / 7).margin(5e-3));
    CHECK(weights[2] == Approx(3.0 / 7).margin(5e-3));
  }
}

TEST_CASE("GradNorm weights stay positive and add up to T under gradients of any size") {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> exponent(-18, 18);
  std::uniform_real_distribution<double> loss(-.1, 3);
  for (const double floor : {1e-3, .4}) {
    GradNormOptions options = at_once();
    options.floor = floor;
    Runner<GradNorm> run(GradNorm(options), 5);
    for (int k = 0; k < 2000; ++k) {
      std::vector<double> norms(5);
      std::vector<double> losses(5);
      std::generate(norms.begin(), norms.end(), [&] { return std::pow(10, exponent(random)); });
      std::generate(losses.begin(), losses.end(), [&] { return loss(random); });
      Step step = step_with(norms, losses);
      step.present[std::size_t(k % 5)] = std::uint8_t(k % 3 != 0);
      run(step);
      const std::vector<double> all(run.state.begin(), run.state.begin() + 5);
      CHECK(*std::min_element(all.begin(), all.end()) >= floor * (1 - 1e-9));
      CHECK(sum(all) == Approx(5).epsilon(1e-9));
    }
  }
}

TEST_CASE("GradNorm gives the weights from before the update unless told otherwise, as the paper times it") {
  GradNormOptions options;
  options.initial_losses = from_ones(2).initial_losses;
  Runner<GradNorm> late(GradNorm(options), 2);
  Runner<GradNorm> now(GradNorm(from_ones(2)), 2);
  const Step step = step_with({2, 6}, {.5, 1});
  CHECK(late(step) == std::vector<double>{1, 1});
  const std::vector<double> updated = now(step);
  CHECK(late.state == now.state);
  CHECK(late(step) == updated);
}
