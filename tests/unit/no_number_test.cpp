// SPDX-License-Identifier: Apache-2.0
// Where a paper's formula has no number, or would divide by nothing: what rules and laws do instead, worked out by hand.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>
#include <fuller/gates/gates.hpp>

#include "support/catch.hpp"
#include "support/gate_steps.hpp"
#include "support/steps.hpp"

using fuller::testing::Jacobian;
using fuller::testing::Runner;
using fuller::testing::Step;
using fuller::testing::step_of;

namespace {

Step losses_at(std::int64_t epoch, const std::vector<double>& losses) {
  Step step = step_of(Jacobian::Identity(Eigen::Index(losses.size()), Eigen::Index(losses.size())));
  step.losses = losses;
  step.epoch = epoch;
  return step;
}

Step of_norms(const std::vector<double>& norms, const std::vector<double>& losses) {
  Step step = losses_at(0, losses);
  for (std::size_t i = 0; i < norms.size(); ++i) {
    step.gram[i * norms.size() + i] = norms[i] * norms[i];
  }
  return step;
}

void check(const std::vector<double>& actual, const std::vector<double>& expected, double share = 1e-13) {
  REQUIRE(actual.size() == expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    INFO("number " << i);
    CHECK(actual[i] == Approx(expected[i]).epsilon(share).margin(1e-300));
  }
}

}  // namespace

TEST_CASE("DWA: a ratio that is no double is 1, neither faster nor slower") {
  Runner<fuller::DWA> run(fuller::DWA(), 2);
  run(losses_at(0, {1e-300, 1e-300}));
  run(losses_at(1, {1e300, 1e-300}));
  CHECK(run(losses_at(2, {1, 1})) == std::vector<double>{1, 1});
}

TEST_CASE("DWA: a mean of 1e-13 of the largest of its epoch, or less, is rounding, and its ratio 1; of the tasks in the step") {
  Runner<fuller::DWA> run(fuller::DWA(), 2);
  run(losses_at(0, {0.9e-13, 1}));
  run(losses_at(1, {5, 1}));
  CHECK(run(losses_at(2, {1, 1})) == std::vector<double>{1, 1});
  Runner<fuller::DWA> above(fuller::DWA(), 2);
  above(losses_at(0, {1.1e-13, 1}));
  above(losses_at(1, {5, 1}));
  CHECK(above(losses_at(2, {1, 1}))[1] < 1e-6);
  // Without the third task, both are as large as the largest: r = (2, 1).
  Runner<fuller::DWA> two(fuller::DWA(), 3);
  two(losses_at(0, {-1e-20, 1e-20, 1}));
  two(losses_at(1, {-2e-20, 1e-20, 1}));
  Step last = losses_at(2, {1, 1, 1});
  last.present[2] = 0;
  const double first = std::exp(2 / 2.0), second = std::exp(1 / 2.0);
  check(two(last), {2 * first / (first + second), 2 * second / (first + second), 0});
  // A task that has ended one epoch alone says nothing of what is large.
  Runner<fuller::DWA> late(fuller::DWA(), 3);
  Step without = losses_at(0, {1e-20, 1e-20, 0});
  without.present[2] = 0;
  late(without);
  late(losses_at(1, {2e-20, 1e-20, 1}));
  check(late(losses_at(2, {1, 1, 1})),
        {3 * first / (first + 2 * second), 3 * second / (first + 2 * second), 3 * second / (first + 2 * second)});
}

TEST_CASE("DTP: a mean whose inverse is no number > 0 measures no unit") {
  // Scales 1 and 1/2 from the first epoch; the second shows 3 and 4, so that p ~ 3^2 and 2^2.
  fuller::DTP rule;
  std::vector<double> state(std::size_t(rule.state_size(2)));
  rule.initialise(2, state.data());
  std::vector<double> log_p(2);
  for (const Step& step : {losses_at(0, {0, 2}), losses_at(1, {3, 4}), losses_at(2, {1, 1})}) {
    rule(fuller::Serial{}, step.view(), state.data(), log_p.data());
  }
  CHECK(log_p[0] - log_p[1] == Approx(2 * std::log(1.5)).epsilon(1e-13));
}

TEST_CASE("GLS and GO4Align of losses of which none is positive weigh all alike") {
  check(Runner<fuller::GLS>(fuller::GLS(), 3)(losses_at(0, {0, -1, 0})), {1.0 / 3, 1.0 / 3, 1.0 / 3});
  check(Runner<fuller::GO4Align>(fuller::GO4Align(), 3)(losses_at(0, {0, -1, 0})), {1, 1, 1});
}

TEST_CASE("GradNorm: a rate that is not known is 1, and where all are 0 they are equal") {
  fuller::GradNormOptions options;
  options.use = fuller::GradNormOptions::Use::updated;
  // With equal rates, targets (4, 4) and gradients (-2, +6).
  const std::vector<double> pulled{2 * 1.05 / 1.9, 2 * .85 / 1.9};
  Runner<fuller::GradNorm> unknown(fuller::GradNorm(options), 2);
  check(unknown(of_norms({2, 6}, {-1, 1})), pulled);
  CHECK(unknown.state[2] == 0);  // L(0) is the first loss above 0
  unknown(of_norms({2, 6}, {3, 1}));
  CHECK(unknown.state[2] == 3);
  options.initial_losses = {1, 1};
  check(Runner<fuller::GradNorm>(fuller::GradNorm(options), 2)(of_norms({2, 6}, {0, -3})), pulled);
}

TEST_CASE("GradNorm: weights that would all vanish in one step become equal") {
  // r = (0, 2), targets 5500 (0, sqrt 2): both norms are above them, and 0.025 of each is more than a weight of 1.
  fuller::GradNormOptions options;
  options.use = fuller::GradNormOptions::Use::updated;
  options.alpha = 0.5;
  options.initial_losses = {1, 1};
  CHECK(Runner<fuller::GradNorm>(fuller::GradNorm(options), 2)(of_norms({1e3, 1e4}, {0, 1})) == std::vector<double>{1, 1});
}

TEST_CASE("GradVac: a cosine that rounding has made larger than 1 moves a target as 1 does") {
  Step step = step_of(Jacobian::Ones(2, 1));
  step.gram[1] = step.gram[2] = 1 + 1e-14;
  Runner<fuller::GradVac> run(fuller::GradVac(), 2);
  CHECK(run(step) == std::vector<double>{1, 1});
  CHECK(run.state == std::vector<double>{0, .5, .5, 0});
  step.gram[1] = step.gram[2] = -1 - 1e-14;
  Runner<fuller::GradVac> opposite(fuller::GradVac(), 2);
  opposite(step);
  CHECK(opposite.state == std::vector<double>{0, -.5, -.5, 0});
}

TEST_CASE("IMTL-G and ConFIG: a task without which the projections are equal has no share of the step") {
  // d = (1, 1, 0) has the product 1 with the third direction, so beta = (1, 1, 0); norms 1, 2, 4.
  Jacobian J(3, 3);
  J << 1, 0, 0, 0, 2, 0, 2, 2, 4 * std::sqrt(.5);
  for (const auto negative : {fuller::IMTL_G_Options::Negative::signed_shared, fuller::IMTL_G_Options::Negative::paper}) {
    fuller::IMTL_G_Options options;
    options.negative = negative;
    const std::vector<double> w = Runner<fuller::IMTL_G>(fuller::IMTL_G(options), 3)(step_of(J));
    check({w[0], w[1]}, {2.0 / 3, 1.0 / 3});
    CHECK(w[2] == 0);
  }
  const std::vector<double> w = Runner<fuller::ConFIG>(fuller::ConFIG(), 3)(step_of(J));
  check({w[0], w[1]}, {7.0 / 2, 7.0 / 4});
  CHECK(w[2] == 0);
}

TEST_CASE("DualProj of the sum is the number of tasks times that of the mean") {
  Jacobian J(3, 2);
  J << 1, 0, -2, 1, -1, 3;
  fuller::DualProjOptions options;
  const std::vector<double> mean = Runner<fuller::DualProj>(fuller::DualProj(options), 3)(step_of(J));
  CHECK(mean[0] > 1.0 / 3 + 1e-3);  // a conflict
  options.sum = fuller::WeightSum::tasks;
  check(Runner<fuller::DualProj>(fuller::DualProj(options), 3)(step_of(J)), {3 * mean[0], 3 * mean[1], 3 * mean[2]}, 1e-12);
}

TEST_CASE("a rotation by an angle whose tangent's inverse has no square") {
  // theta = (1 - a) / (2 a_pq) is 5e159, tan = 1 / (2 theta).
  for (const double sign : {-1.0, 1.0}) {
    const fuller::detail::Rotation up = fuller::detail::jacobi_rotation(1e-310, sign * 1e-160, 1);
    CHECK(up.c == 1);
    CHECK(up.s == Approx(sign * 1e-160).epsilon(1e-12));
    const fuller::detail::Rotation down = fuller::detail::jacobi_rotation(1, sign * 1e-160, 1e-310);
    CHECK(down.s == Approx(-sign * 1e-160).epsilon(1e-12));
  }
  // 1e-17 of both diagonals' roots is nothing to rotate.
  CHECK(fuller::detail::jacobi_rotation(4, 1.9e-17, 1).s == 0);
  CHECK(fuller::detail::jacobi_rotation(4, 2.1e-17, 1).s != 0);
  CHECK(fuller::detail::jacobi_rotation(1, 1.9e-17, 4).s == 0);
  CHECK(fuller::detail::jacobi_rotation(4, -1.9e-17, 1).s == 0);
}

TEST_CASE("AGM: leads whose exponentials are no doubles still have a difference") {
  fuller::testing::GateRunner<fuller::AGM> gates(fuller::AGM(), 2);
  CHECK(gates({1000, 0}) == std::vector<double>{1, 1});
  CHECK(gates({1000, 0}) == std::vector<double>{1, 1});
}

TEST_CASE("gamma_modal of branches of which none has a gradient is 1") {
  const fuller::testing::BranchStep step = fuller::testing::BranchStep::of({0, std::nan(""), 0});
  CHECK(fuller::gamma_modal(step.view()) == 1);
}

TEST_CASE("Pareto's gamma lies in (0, 100]") {
  const auto taken = [](double gamma) {
    try {
      fuller::Pareto({gamma}).expect_sense();
      return true;
    } catch (const fuller::Error&) {
      return false;
    }
  };
  CHECK(taken(100));
  CHECK(taken(std::numeric_limits<double>::denorm_min()));
  CHECK_FALSE(taken(0));
  CHECK_FALSE(taken(std::nextafter(100, 101)));
  CHECK_FALSE(taken(std::nan("")));
}

TEST_CASE("a policy leaves out the heads of tasks that are not finite, and of no others") {
  using fuller::Condition;
  using fuller::NonFinite;
  const Condition conditions[] = {Condition::used, Condition::non_finite, Condition::zero, Condition::absent};
  for (const int task : {0, 1, 2, 3}) {
    CHECK(fuller::detail::leaves_out(NonFinite::skip, conditions, 4, task) == (task == 1));
    CHECK(fuller::detail::leaves_out(NonFinite::throw_error, conditions, 4, task) == (task == 1));
    CHECK_FALSE(fuller::detail::leaves_out(NonFinite::propagate, conditions, 4, task));
  }
}
