// SPDX-License-Identifier: Apache-2.0
// Rules where gradients or losses cancel, but for rounding: small cases worked out by hand, in any unit.
#include <cmath>
#include <cstdint>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>

#include "support/catch.hpp"
#include "support/steps.hpp"

using fuller::testing::Jacobian;
using fuller::testing::Runner;
using fuller::testing::Step;
using fuller::testing::step_of;

namespace {

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

}  // namespace

TEST_CASE("GradVac: a gradient that has been taken away has no direction, is turned no more and moves no target") {
  // b = -a: after that turn nothing is left of a, and c tells nothing of it. Whose number is which, and the unit, do not matter.
  for (const double size : {1.0, 1e-5, 1e5}) {
    for (std::size_t a = 0; a < 3; ++a) {
      const std::size_t b = a == 0 ? 1 : 0;
      const std::size_t c = 3 - a - b;
      Jacobian J(3, 2);
      J.row(Eigen::Index(a)) << size, 0;
      J.row(Eigen::Index(b)) << -size, 0;
      J.row(Eigen::Index(c)) << .6 * size, .8 * size;
      const Step base = step_of(J);
      int first_of_all = 0;
      for (int k = 0; k < 16; ++k) {
        Step step = base;
        step.step = k;
        std::uint8_t order[] = {std::uint8_t(b < c ? b : c), std::uint8_t(b < c ? c : b)};
        fuller::shuffle(order, 2, 0, k, std::uint32_t(a));
        Runner<fuller::GradVac> run(fuller::GradVac(), 3);
        run(step);
        INFO("size " << size << ", task " << a << ", step " << k);
        first_of_all += order[0] == b ? 1 : 0;
        CHECK(run.state[3 * a + b] == Approx(-.5));
        CHECK(run.state[3 * a + c] == (order[0] == b ? Approx(0).margin(1e-300) : Approx(.3)));
      }
      CHECK(first_of_all > 0);
      CHECK(first_of_all < 16);
    }
  }
}

TEST_CASE("IMTL-G and ConFIG: no share for a task whose direction the others' step already has, to rounding") {
  const auto check_shares = [](const Jacobian& J, const std::vector<double>& of_configuration) {
    const std::vector<double> w = weights_of(fuller::IMTL_G(), step_of(J));
    check({w[0], w[1]}, {.7, .3}, 1e-9);
    CHECK(w[2] == 0);
    fuller::IMTL_G_Options options;
    options.sum = fuller::WeightSum::tasks;
    check(weights_of(fuller::IMTL_G(options), step_of(J)), {2.1, .9, 0}, 1e-9);
    const std::vector<double> c = weights_of(fuller::ConFIG(), step_of(J));
    check({c[0], c[1]}, of_configuration, 1e-9);
    CHECK(c[2] == 0);
  };
  for (const double a : {.3, .1, .6, .45}) {
    // d = (1, 1, 0); u_2 = (a, 1 - a, .) has the product 1 with it: beta = (1, 1, 0), norms 3, 7, 11.
    const double b = 1 - a;
    Jacobian J(3, 3);
    J << 3, 0, 0, 0, 7, 0, 11 * a, 11 * b, 11 * std::sqrt(1 - a * a - b * b);
    INFO("a = " << a);
    check_shares(J, {21.0 / 6, 21.0 / 14});
  }
  for (const double a : {.05, .03, .02, .013, .01}) {
    // All but opposite: u = (a, r, 0), (a, -r, 0) and (a, 0, r), with products 2 a^2 - 1 and a^2, so beta = (1, 1, 0) / (2 a^2).
    const double r = std::sqrt(1 - a * a);
    Jacobian J(3, 3);
    J << 3 * a, 3 * r, 0, 7 * a, -7 * r, 0, 11 * a, 0, 11 * r;
    INFO("all but opposite, a = " << a);
    check_shares(J, {21.0 / 6, 21.0 / 14});
  }
}

TEST_CASE("LDC-MTL: losses that are equal but for rounding move no router, in any unit") {
  REQUIRE(.1 + .2 != .3);
  for (const double size : {1.0, 1e6, 1e-6}) {
    for (const bool turned : {false, true}) {
      fuller::LDCOptions options;
      options.normalise = fuller::LDCOptions::Normalise::none;
      Step step = step_of(Jacobian::Identity(2, 2));
      step.losses = {(turned ? .3 : .1 + .2) * size, (turned ? .1 + .2 : .3) * size};
      Runner<fuller::LDC> run(fuller::LDC(options), 2);
      run(step);
      INFO("size " << size << ", turned " << turned);
      CHECK(std::fabs(run.state[2]) < 1e-9 * size);  // Adam's first moments
      CHECK(std::fabs(run.state[3]) < 1e-9 * size);
    }
  }
}

TEST_CASE("Nash-MTL: an update that cancels is shorter than any bound") {
  // g and -g with the ridge r: b = 1 / sqrt(r) each solves (C + r I) b = 1 / b, and its update is 0.
  fuller::NashMTLOptions options;
  options.ridge = 1e-4;
  for (const double bound : {0.0, 0.5}) {
    options.max_norm = bound;
    check(weights_of(fuller::NashMTL(options), step_of((Jacobian(2, 1) << 2, -2).finished())), {50, 50}, 1e-9);
  }
}

TEST_CASE("PCD: where nothing is left of the primary's step, weights are those of no step") {
  fuller::PCDOptions options;
  options.tau = 0;
  options.epsilon = 1e-300;
  // d is the point nearest to u_1 with <-u_1, d> >= 0: u_1 - u_1 = 0.
  check(weights_of(fuller::PCD(options), step_of((Jacobian(2, 1) << 1, -1).finished())), {1, 1});
  check(weights_of(fuller::PCD(options), step_of((Jacobian(2, 1) << 2, -4).finished())), {1, .5});
}

TEST_CASE("MGDA: what cancels to more than the shortest gradient leaves that one, the first of equal ones") {
  // Two gradients of length n, opposite but for the angle 1.6e-7: half of each is 8e-8 n, 1.13 of the short ones. Doubles tell
  // 8e-8 from 0, and from the 7.1e-8 that it would have to be.
  const double angle = 1.6e-7;
  const double n = 1 / 7.1e-8;
  Jacobian J = Jacobian::Zero(4, 4);
  J.row(0) << n, 0, 0, 0;
  J.row(1) << -n * std::cos(angle), n * std::sin(angle), 0, 0;
  J(2, 2) = J(3, 3) = 1;
  CHECK(weights_of(fuller::MGDA(), step_of(J)) == std::vector<double>{0, 0, 1, 0});
}

TEST_CASE("wPCGrad sees a conflict of any two tasks") {
  // Unit gradients, all orthogonal but one pair of cosine -1/2: the one of them that is drawn first gets 1/2 more.
  for (int a = 0; a < 5; ++a) {
    for (int b = 0; b < a; ++b) {
      Jacobian J = Jacobian::Identity(5, 5);
      J(a, b) = -.5;
      J(a, a) = std::sqrt(.75);
      const std::vector<double> w = weights_of(fuller::WPCGrad(), step_of(J));
      INFO("tasks " << a << " and " << b);
      for (int i = 0; i < 5; ++i) {
        CHECK((i == a || i == b || w[std::size_t(i)] == 1));
      }
      CHECK(w[std::size_t(a)] + w[std::size_t(b)] == Approx(2.5));
      CHECK(std::fabs(w[std::size_t(a)] - w[std::size_t(b)]) == Approx(.5));
    }
  }
}
