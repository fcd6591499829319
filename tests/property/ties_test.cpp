// SPDX-License-Identifier: Apache-2.0
// Where the mathematics says 0, or equal, doubles say it to a rounding error: nothing may hang on the sign of that. Each case has
// a tie by construction, and is tried with what a rounding error, or thousands of them, make of it.
#include <cmath>
#include <cstdint>
#include <random>
#include <type_traits>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>
#include <fuller/gates/gates.hpp>

#include "support/catch.hpp"
#include "support/steps.hpp"

using fuller::Condition;
using fuller::GradNorm;
using fuller::GradNormOptions;
using fuller::IMTL_G;
using fuller::WeightingOptions;
using fuller::testing::for_every_rule;
using fuller::testing::Jacobian;
using fuller::testing::random_jacobian;
using fuller::testing::Runner;
using fuller::testing::Step;
using fuller::testing::step_of;
using fuller::testing::WeightingRunner;

namespace {

Step of_norms(const std::vector<double>& norms) {
  Step step;
  step.tasks = int(norms.size());
  step.gram.assign(norms.size() * norms.size(), 0);
  for (std::size_t i = 0; i < norms.size(); ++i) {
    step.gram[i * norms.size() + i] = norms[i] * norms[i];
  }
  step.losses.assign(norms.size(), 1);
  step.present.assign(norms.size(), 1);
  return step;
}

}  // namespace

TEST_CASE("GradNorm at its fixed point stays there: weighted norms that are equal have no sign") {
  // w_i n_i = T / sum(1 / n) for every task, rates equal: the objective's gradient is 0.
  std::mt19937_64 random(31);
  std::uniform_real_distribution<double> exponent(-3, 3);
  for (const auto optimizer : {GradNormOptions::Optimizer::sgd, GradNormOptions::Optimizer::adam}) {
    for (int draw = 0; draw < 100; ++draw) {
      const std::size_t T = 2 + std::size_t(draw % 7);
      std::vector<double> norms(T);
      double inverse = 0;
      for (double& norm : norms) {
        norm = std::exp(exponent(random));
        inverse += 1 / norm;
      }
      GradNormOptions options;
      options.optimizer = optimizer;
      options.use = GradNormOptions::Use::updated;
      options.initial_losses = fuller::TaskVector(std::vector<double>(T, 1.0));
      Runner<GradNorm> run{GradNorm(options), int(T)};
      for (std::size_t i = 0; i < T; ++i) {
        run.state[i] = double(T) / (norms[i] * inverse);
      }
      for (int k = 0; k < 3; ++k) {
        const std::vector<double> weights = run(of_norms(norms));
        for (std::size_t i = 0; i < T; ++i) {
          INFO("T = " << T << ", draw " << draw << ", step " << k);
          CHECK(weights[i] == Approx(double(T) / (norms[i] * inverse)).epsilon(1e-12));
        }
      }
    }
  }
}

TEST_CASE("GradNorm does see a difference that is small but none of rounding's") {
  GradNormOptions options;
  options.optimizer = GradNormOptions::Optimizer::adam;
  options.use = GradNormOptions::Use::updated;
  options.initial_losses = {1, 1};
  Runner<GradNorm> run(GradNorm(options), 2);
  const std::vector<double> weights = run(of_norms({1, 1 + 1e-9}));
  CHECK(weights[0] == Approx(1.025).epsilon(1e-12));
  CHECK(weights[1] == Approx(.975).epsilon(1e-12));
}

TEST_CASE("hold: a weight that is zero by mathematics is no weight a task last had") {
  // u_3 has the projection on beta_1 u_1 + beta_2 u_2 that u_1 and u_2 have: C_13 + C_23 = 1 + C_12, so beta_3 = 0.
  for (const double cosine : {0.0, .1, .3, .7}) {
    for (const double length : {.1, 1.0 / 3, 1.0, 7.0}) {
      for (const double tilt : {-3e-16, -1e-16, 0.0, 1e-16, 3e-16}) {
        Step step = of_norms({1, 1, length});
        const double to_third = (1 + cosine) / 2 * (1 + tilt) * length;
        step.gram = {1, cosine, to_third, cosine, 1, to_third, to_third, to_third, length * length};
        WeightingRunner<IMTL_G> run(IMTL_G(), 3);
        run(of_norms({1, 1, 1}));
        run(step);
        CHECK(std::abs(run.shared[2]) * length < 1e-12);
        step.present = {0, 0, 1};
        INFO("cosine " << cosine << ", length " << length << ", tilt " << tilt);
        CHECK(run(step)[2] == Approx(1.0 / 3).epsilon(1e-14));
      }
    }
  }
}

TEST_CASE("IMTL-G to the letter keeps a finite step at its pole, whichever way rounding falls") {
  // beta = (.59537, .59537, -.19074) up to a factor for these cosines; with n_3 such that sum beta_i / n_i = 0.
  const double half = .5;
  const double root = std::sqrt(.5);
  const double c_13 = half * root;
  Step step = of_norms({1, 1, 1});
  const double c_12 = .25 - .75;
  // beta_1 = beta_2 ~ 1 - c_13, beta_3 ~ 1 + c_12 - 2 c_13.
  const double length = -(1 + c_12 - 2 * c_13) / (2 * (1 - c_13));
  REQUIRE(length > 0);
  for (const double tilt : {-4e-16, -1e-16, 0.0, 1e-16, 4e-16}) {
    const double n = length * (1 + tilt);
    step.gram = {1, c_12, c_13 * n, c_12, 1, c_13 * n, c_13 * n, c_13 * n, n * n};
    fuller::IMTL_G_Options options;
    options.negative = fuller::IMTL_G_Options::Negative::paper;
    const std::vector<double> weights = Runner<IMTL_G>(IMTL_G(options), 3)(step);
    INFO("tilt " << tilt << ": " << weights[0] << " " << weights[1] << " " << weights[2]);
    CHECK(weights[0] > 0);
    CHECK(weights[0] < 10);
  }
}

TEST_CASE("a gate does not fall where branches are equal but for rounding") {
  fuller::ModalityGateOptions options;
  options.momentum = 0;
  const fuller::ModalityGate gate(options);
  for (const double tilt : {-1e-14, -2e-16, 2e-16, 1e-14}) {
    for (const int M : {2, 3, 7}) {
      std::vector<double> squares(std::size_t(M), 2.7);
      squares[1] *= 1 + tilt;
      const std::vector<std::uint8_t> present(std::size_t(M), 1);
      std::vector<double> state(std::size_t(M), 1.0);
      std::vector<double> scales(std::size_t(M), 0.0);
      std::vector<double> scratch(std::size_t(M), 0.0);
      fuller::BranchEvidence<> evidence;
      evidence.count = M;
      evidence.squared_norms = squares.data();
      evidence.present = present.data();
      gate(fuller::Serial{}, evidence, state.data(), scales.data(), scratch.data());
      INFO("tilt " << tilt << ", M = " << M);
      CHECK(scales == std::vector<double>(std::size_t(M), 1.0));
    }
  }
}

TEST_CASE("a branch whose gradient is rounding noise does not silence the one that works") {
  const fuller::ModalityGate gate;
  const std::vector<double> squares{1, 1e-32, 4};
  const std::vector<std::uint8_t> present{1, 1, 0};
  std::vector<double> state{1, 1, 1};
  std::vector<double> scales(3);
  std::vector<double> scratch(3);
  fuller::BranchEvidence<> evidence;
  evidence.count = 3;
  evidence.squared_norms = squares.data();
  evidence.present = present.data();
  gate(fuller::Serial{}, evidence, state.data(), scales.data(), scratch.data());
  CHECK(scales == std::vector<double>{1, 1, 1});
  CHECK(fuller::gamma_modal(evidence) == 1);
}

TEST_CASE("a phase ends where its fraction of the epochs says, though the product is rounded") {
  // Epoch k belongs to the second phase if k + 1/2 >= until * epochs; at equality rounding must not decide.
  for (const int epochs : {10, 50, 100, 350, 1000}) {
    for (int k = 1; k < epochs; ++k) {
      const double until = (k + .5) / epochs;
      const fuller::PhaseSchedule schedule(epochs, {{until, 0}, {1, 1}});
      INFO("epochs " << epochs << ", until " << until);
      CHECK(schedule.phase(k).favoured == 1);
      CHECK(schedule.phase(k - 1).favoured == 0);
    }
  }
  CHECK(fuller::PhaseSchedule(50, {{.07, 0}, {1, 1}}).phase(3).favoured == 1);
  CHECK(fuller::PhaseSchedule(50, {{.07, 0}, {1, 1}}).phase(2).favoured == 0);
}

TEST_CASE("a gradient that is rounding noise beside the others counts as zero, for every rule") {
  std::mt19937_64 random(32);
  for (const double noise : {1e-17, 1e-15, 2e-14}) {
    for_every_rule(3, [&](const auto& rule) {
      using Rule = std::decay_t<decltype(rule)>;
      if constexpr (Rule::needs.gram) {
        WeightingRunner<Rule> noisy(rule, 3);
        WeightingRunner<Rule> zero(rule, 3);
        for (int k = 0; k < 4; ++k) {
          Jacobian J = random_jacobian(3, 6, random, .5);
          J.row(1) *= noise / J.row(1).norm() * J.row(2).norm();
          Step step = step_of(J);
          step.step = k;
          J.row(1).setZero();
          Step exact = step_of(J);
          exact.step = k;
          noisy(step);
          zero(exact);
          INFO(Rule::name << ", noise " << noise);
          CHECK(noisy.conditions == std::vector<Condition>{Condition::used, Condition::zero, Condition::used});
          CHECK(noisy.shared == zero.shared);
          CHECK(noisy.heads == zero.heads);
          CHECK(noisy.state == zero.state);
        }
      }
    });
  }
}

TEST_CASE("losses in units 1e12 apart are all used, and IMTL-G weighs them to the last digits") {
  for (const double ratio : {1e6, 1e8, 1e10, 1e12}) {
    Jacobian J(3, 4);
    J << 1, 2, 0, 1, 2, 0, 1, 0, -1, 1, 3, 1;
    const std::vector<double> plain = Runner<IMTL_G>(IMTL_G(), 3)(step_of(J));
    J.row(1) *= ratio;
    WeightingRunner<IMTL_G> run(IMTL_G(), 3);
    run(step_of(J));
    CHECK(run.conditions == std::vector<Condition>(3, Condition::used));
    // beta is that of the unit gradients: alpha_i n_i have the ratios they had.
    CHECK(run.shared[1] * ratio / run.shared[0] == Approx(plain[1] / plain[0]).epsilon(1e-12));
    CHECK(run.shared[2] / run.shared[0] == Approx(plain[2] / plain[0]).epsilon(1e-12));
  }
}

TEST_CASE("the share below which a gradient counts as zero can be chosen") {
  WeightingOptions options;
  options.zero_below = 1e-4;
  WeightingRunner<IMTL_G> coarse(IMTL_G(), 2, options);
  coarse(of_norms({1, .9e-4}));
  CHECK(coarse.conditions == std::vector<Condition>{Condition::used, Condition::zero});
  CHECK(coarse.shared == std::vector<double>{1, 0});
  coarse(of_norms({1, 1.1e-4}));
  CHECK(coarse.conditions == std::vector<Condition>(2, Condition::used));
  options.zero_below = 0;
  WeightingRunner<IMTL_G> none(IMTL_G(), 2, options);
  none(of_norms({1, 1e-100}));
  CHECK(none.conditions == std::vector<Condition>(2, Condition::used));
}

TEST_CASE("DWA: a mean loss that is zero but for rounding says nothing of the rate") {
  // Zero in the first epoch has rate 1 by the rule; 1e-17 must not have the rate 1e17.
  for (const double noise : {0.0, 1e-17, -1e-17}) {
    Runner<fuller::DWA> run(fuller::DWA(), 2);
    Step step = of_norms({1, 1});
    step.losses = {1, noise};
    run(step);
    step.epoch = 1;
    step.losses = {1, .5};
    run(step);
    step.epoch = 2;
    CHECK(run(step) == std::vector<double>{1, 1});
  }
}
