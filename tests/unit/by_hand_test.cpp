// SPDX-License-Identifier: Apache-2.0
// Small cases of rules, worked out by hand: what is in them decides what larger ones only average over.
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>

#include "support/catch.hpp"
#include "support/steps.hpp"

using fuller::testing::Jacobian;
using fuller::testing::Runner;
using fuller::testing::Step;
using fuller::testing::step_of;

namespace {

Step with_losses(const std::vector<double>& losses) {
  Step step = step_of(Jacobian::Identity(Eigen::Index(losses.size()), Eigen::Index(losses.size())));
  step.losses = losses;
  return step;
}

template <class Rule>
std::vector<double> weights_of(const Rule& rule, const Step& step) {
  return Runner<Rule>(rule, step.tasks)(step);
}

void check(const std::vector<double>& actual, const std::vector<double>& expected, double share = 1e-12) {
  REQUIRE(actual.size() == expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    INFO("number " << i);
    CHECK(actual[i] == Approx(expected[i]).epsilon(share).margin(1e-300));
  }
}

fuller::AlignedMTL aligned(fuller::AlignedMTLOptions::Scale scale, fuller::WeightSum sum = fuller::WeightSum::tasks) {
  fuller::AlignedMTLOptions options;
  options.scale = scale;
  options.sum = sum;
  return fuller::AlignedMTL(options);
}

constexpr fuller::AlignedMTLOptions::Scale scales[] = {
    fuller::AlignedMTLOptions::Scale::min, fuller::AlignedMTLOptions::Scale::median, fuller::AlignedMTLOptions::Scale::mean};

}  // namespace

TEST_CASE("Aligned-MTL of orthogonal gradients: w_i = sqrt(sigma) / n_i, wherever the shortest and the middle one stand") {
  const std::vector<std::vector<double>> orders = {{1, 2, 4}, {4, 1, 2}, {2, 4, 1}, {4, 2, 1}};
  for (const std::vector<double>& n : orders) {
    const Step step = step_of(Jacobian(Eigen::Map<const Eigen::VectorXd>(n.data(), 3).asDiagonal()));
    // Squares 1, 4, 16: sigma 1, 4, 7.
    for (std::size_t k = 0; k < 3; ++k) {
      const double root = k == 0 ? 1 : k == 1 ? 2 : std::sqrt(7.0);
      check(weights_of(aligned(scales[k]), step), {root / n[0], root / n[1], root / n[2]});
      check(weights_of(aligned(scales[k], fuller::WeightSum::one), step), {root / n[0] / 3, root / n[1] / 3, root / n[2] / 3});
    }
  }
  // Of an even number the lower of the two in the middle; among equal ones any.
  const Eigen::Vector4d even(8, 2, 1, 4);
  check(weights_of(aligned(scales[1]), step_of(Jacobian(even.asDiagonal()))), {2.0 / 8, 1, 2, 2.0 / 4});
  const Eigen::Vector4d equal(2, 8, 2, 2);
  check(weights_of(aligned(scales[1]), step_of(Jacobian(equal.asDiagonal()))), {1, 2.0 / 8, 1, 1});
}

TEST_CASE("Aligned-MTL of dependent gradients: one component, and no part in what they do not span") {
  std::mt19937_64 random(4);
  std::normal_distribution<double> normal;
  for (int draw = 0; draw < 40; ++draw) {
    // Lengths g along one direction: lambda = |g|^2, v = g / |g|, and the weights are <v, 1> v whatever sigma is called.
    const int T = 2 + draw % 5;
    const Eigen::VectorXd g = Eigen::VectorXd::NullaryExpr(T, [&] { return 1 + normal(random); });
    const Eigen::VectorXd direction = Eigen::VectorXd::NullaryExpr(7, [&] { return normal(random); });
    const Step step = step_of(Jacobian(g * direction.transpose()));
    for (const auto scale : scales) {
      const std::vector<double> w = weights_of(aligned(scale), step);
      INFO("T = " << T << ", scale " << static_cast<int>(scale));
      const Eigen::VectorXd expected = g.sum() / g.squaredNorm() * g;
      CHECK((Eigen::Map<const Eigen::VectorXd>(w.data(), T) - expected).norm() < 1e-9 * (expected.norm() + 1e-3));
    }
  }
  for (const auto scale : scales) {
    // Short and long in either order: the component that is nothing comes first or last.
    check(weights_of(aligned(scale), step_of((Jacobian(2, 1) << 1, 10).finished())), {11.0 / 101, 110.0 / 101});
    check(weights_of(aligned(scale), step_of((Jacobian(2, 1) << 10, 1).finished())), {110.0 / 101, 11.0 / 101});
    CHECK(weights_of(aligned(scale), step_of((Jacobian(2, 2) << .3, .1, -.3, -.1).finished())) == std::vector<double>{0, 0});
  }
  // One alone, and two of lengths 2 and 4 along another: squares 1 and 20.
  const Step two = step_of((Jacobian(3, 2) << 1, 0, 0, 2, 0, 4).finished());
  check(weights_of(aligned(scales[1]), two), {1, 12 / 20.0 / std::sqrt(20.0), 24 / 20.0 / std::sqrt(20.0)});
}

TEST_CASE("GLS and GO4Align do not see the unit of the losses") {
  fuller::GO4AlignOptions options;
  options.eta = 0;
  options.groups = 2;
  const std::vector<double> losses{3, 1, 2, 7};
  const std::vector<double> geometric = weights_of(fuller::GLS(), with_losses(losses));
  const std::vector<double> grouped = weights_of(fuller::GO4Align(options), with_losses(losses));
  for (const double unit : {1e-20, 1e-9, 1e12, 1e200}) {
    std::vector<double> scaled = losses;
    for (double& loss : scaled) {
      loss *= unit;
    }
    INFO("unit " << unit);
    check(weights_of(fuller::GLS(), with_losses(scaled)), geometric);
    check(weights_of(fuller::GO4Align(options), with_losses(scaled)), grouped);
  }
}

TEST_CASE("GO4Align finds groups among weights that are all but equal") {
  fuller::GO4AlignOptions options;
  options.eta = 0;
  // Rising weights belong to falling losses: the two large ones are close to each other, or the two small ones.
  const std::vector<double> low = weights_of(fuller::GO4Align(options), with_losses({1, 1 + 4e-9, 1 + 5e-9}));
  CHECK(low[1] == low[2]);
  CHECK(low[0] > low[1]);
  const std::vector<double> high = weights_of(fuller::GO4Align(options), with_losses({1, 1 + 1e-9, 1 + 5e-9}));
  CHECK(high[0] == high[1]);
  CHECK(high[1] > high[2]);
  std::vector<double> state(64);
  options.groups = 64;
  CHECK_NOTHROW(fuller::GO4Align(options).initialise(64, state.data()));
  options.groups = 65;
  CHECK_THROWS_AS(fuller::GO4Align(options).initialise(64, state.data()), fuller::Error);
}

TEST_CASE("GradNorm: rates are losses over first losses, of each task its own") {
  fuller::GradNormOptions options;
  options.use = fuller::GradNormOptions::Use::updated;
  Step step = with_losses({1, 1});
  step.gram = {4, 0, 0, 36};
  options.initial_losses = {2, 1};
  // Rates (1/2, 1), r = (2/3, 4/3): targets 4 r^1.5 = (2.18, 6.16), gradients (-2, -6).
  check(weights_of(fuller::GradNorm(options), step), {2 * 1.05 / 2.2, 2 * 1.15 / 2.2});
  // The first loss of task 0 is no measure: rate 1 in both steps. Then G = (2.21, 5.37) of w = (2.1, 1.7) / 1.9, rates (1, 2),
  // targets 3.79 r^1.5 = (2.06, 5.83): gradients (+2, -6).
  options.initial_losses = {};
  Runner<fuller::GradNorm> unknown(fuller::GradNorm(options), 2);
  step.losses = {-1, 1};
  unknown(step);
  step.losses = {-1, 2};
  // A loss below 0 counts as 0 once there is a first one, and as nothing before.
  const double w_0 = 2.1 / 1.9 - .05;
  const double w_1 = 1.7 / 1.9 + .15;
  check(unknown(step), {2 * w_0 / (w_0 + w_1), 2 * w_1 / (w_0 + w_1)});
}

TEST_CASE("IMTL-G: weights that add up to nothing are divided by what keeps the step as long as the longest gradient") {
  // u_2 = (.7, .7, sqrt .02): beta = (15, 15, -20), s = 10; with norms 3, 3, 2 their quotients add up to 0.
  Jacobian J(3, 3);
  J << 3, 0, 0, 0, 3, 0, 1.4, 1.4, 2 * std::sqrt(.02);
  for (const auto negative : {fuller::IMTL_G_Options::Negative::paper, fuller::IMTL_G_Options::Negative::signed_shared}) {
    fuller::IMTL_G_Options options;
    options.negative = negative;
    check(weights_of(fuller::IMTL_G(options), step_of(J)), {1.5, 1.5, -3}, 1e-9);
  }
  fuller::IMTL_G_Options clamped;
  clamped.negative = fuller::IMTL_G_Options::Negative::clamp;
  check(weights_of(fuller::IMTL_G(clamped), step_of(J)), {.5, .5, 0}, 1e-9);
}

TEST_CASE("IMTL-G of products that are no cosines weighs by the lengths alone") {
  Step step = step_of(Jacobian::Identity(3, 3));
  const double n[] = {1, 2, 4};
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) {
      step.gram[std::size_t(3 * i + j)] = (i == j ? 1 : -1) * n[i] * n[j];
    }
  }
  check(weights_of(fuller::IMTL_G(), step), {4.0 / 7, 2.0 / 7, 1.0 / 7});
}

TEST_CASE("LDC-MTL: routers stop at their bounds, and a loss of 0 has a logarithm of its own") {
  fuller::LDCOptions options;
  options.normalise = fuller::LDCOptions::Normalise::none;
  options.lambda = 0;
  options.learning_rate = 1000;
  Runner<fuller::LDC> run(fuller::LDC(options), 2);
  run(with_losses({1, 2}));  // towards the smaller loss
  CHECK(run.state[0] == 30);
  CHECK(run.state[1] == -30);
  options.normalise = fuller::LDCOptions::Normalise::log_initial;
  options.learning_rate = 1e-3;
  Runner<fuller::LDC> logs(fuller::LDC(options), 2);
  const std::vector<double> w = logs(with_losses({0, 1}));
  check(w, {.5 * 1e8, .5 / (1 + 1e-8)});
  // l = (log(1e-8 / 2e-8), 0), mean log(1/2) / 2: a tenth of log(1/2) / 2 times sigma (1 - sigma) is Adam's first moment.
  CHECK(logs.state[2] == Approx(.1 * std::log(.5) / 2 * .25).epsilon(1e-9));
  CHECK(logs.state[3] == Approx(-.1 * std::log(.5) / 2 * .25).epsilon(1e-9));
}

TEST_CASE("PCD's first step where epsilon is as large as the mean squares, and under a loss scale") {
  fuller::PCDOptions options;
  options.epsilon = 9;
  options.beta = .75;
  // Norms 3 and 5, cosine -1/2. After one step the mean square is the square: |g~| = n / sqrt(n^2 + 9).
  const double l_1 = 3 / std::sqrt(18.0);
  const double l_2 = 5 / std::sqrt(34.0);
  const double x = l_1 / 2 + .02 * l_2;
  const double length = std::sqrt(l_1 * l_1 - x * l_1 + x * x);
  Step step = step_of(Jacobian::Identity(2, 2));
  step.gram = {9, -7.5, -7.5, 25};
  for (const double scale : {1.0, 4.0}) {
    Step scaled = step;
    scaled.loss_scale = scale;
    for (double& product : scaled.gram) {
      product *= scale * scale;
    }
    Runner<fuller::PCD> run(fuller::PCD(options), 2);
    check(run(scaled), {l_1 / length, x / length * 3 / 5});
    check(run.state, {.25 * 9, .25 * 25, 1, 1});
    run(scaled);
    check(run.state, {(.75 * .25 + .25) * 9, (.75 * .25 + .25) * 25, 2, 2});
  }
}

TEST_CASE("RLW's numbers are Marsaglia's, of words 0 to 3 of the first block whose point lies in the disc") {
  fuller::RLWOptions options;
  options.seed = 77;
  int tried_again = 0;
  for (int k = 0; k < 60; ++k) {
    std::vector<double> shares;
    for (std::uint32_t task = 0; task < 3; ++task) {
      double u = 0, s = 0;
      for (std::uint32_t block = 0; !(s > 0 && s < 1); ++block) {
        const fuller::PhiloxBlock words = fuller::random_block(77, k, task, block);
        u = 2 * fuller::uniform_double(words.word[0], words.word[1]) - 1;
        const double v = 2 * fuller::uniform_double(words.word[2], words.word[3]) - 1;
        s = u * u + v * v;
        tried_again += block > 0 ? 1 : 0;
      }
      shares.push_back(std::exp(u * std::sqrt(-2 * std::log(s) / s)));
    }
    const double sum = shares[0] + shares[1] + shares[2];
    Step step = with_losses({1, 1, 1});
    step.step = k;
    check(weights_of(fuller::RLW(options), step), {shares[0] / sum, shares[1] / sum, shares[2] / sum});
  }
  CHECK(tried_again > 5);
}

TEST_CASE("schedules: what is accepted at the edges, and an epoch whose middle is a phase's end but for rounding") {
  using fuller::Phase;
  const auto taken = [](std::int64_t epochs, const std::vector<Phase>& phases) {
    fuller::PhaseSchedule schedule;
    schedule.options.epochs = epochs;
    for (const Phase& phase : phases) {
      schedule.options.phases[schedule.options.count++] = phase;
    }
    try {
      schedule.initialise(3, nullptr);
      return true;
    } catch (const fuller::Error&) {
      return false;
    }
  };
  CHECK(taken(1, {{1, 2}}));
  CHECK_FALSE(taken(0, {{1, 2}}));
  CHECK_FALSE(taken(1, {{1, 3}}));
  CHECK(taken(1, {{1, -1}}));
  CHECK_FALSE(taken(1, {{1, -2}}));
  CHECK(taken(1, {{1, 0, 1e-300}}));
  CHECK_FALSE(taken(1, {{1, 0, 0}}));
  CHECK_FALSE(taken(1, {{0, 0}}));
  std::vector<Phase> sixteen;
  for (int k = 1; k <= 16; ++k) {
    sixteen.push_back({k / 16.0, k % 3});
  }
  CHECK(taken(16, sixteen));
  CHECK_NOTHROW(fuller::PhaseSchedule(1, {{}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}}));
  REQUIRE(.07 * 50 > 3.5);
  const fuller::PhaseSchedule schedule(50, {{.07, 0}, {1, 1}});
  CHECK(schedule.phase(2).favoured == 0);
  CHECK(schedule.phase(3).favoured == 1);
}

TEST_CASE("a loss divided by itself is 1 to the last bit, which the product with its inverse is not") {
  Step step = with_losses({49, 1});
  REQUIRE(49 * (1 / 49.0) != 1);
  for (const auto stage : {fuller::LossStage::initial, fuller::LossStage::loss}) {
    CHECK(fuller::detail::staged_loss(step.view(), stage, 0, 0, 1 / 49.0) == 1);
  }
  CHECK(fuller::detail::staged_loss(step.view(), fuller::LossStage::initial, 0, .5, .5) == 24.5);
}

TEST_CASE("log scales may start at their bounds") {
  std::vector<double> state(64);
  fuller::UWOptions uw;
  uw.initial = {30, -30};
  CHECK_NOTHROW(fuller::UW(uw).initialise(2, state.data()));
  fuller::IMTL_L_Options imtl;
  imtl.initial = {-30, 30};
  CHECK_NOTHROW(fuller::IMTL_L(imtl).initialise(2, state.data()));
  imtl.initial = {0, -30.001};
  CHECK_THROWS_AS(fuller::IMTL_L(imtl).initialise(2, state.data()), fuller::Error);
}
