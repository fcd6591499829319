// SPDX-License-Identifier: Apache-2.0
// IMTL-G against values worked out by hand and against Eigen in long double, which solves with the whole cosine matrix.
#include <cmath>
#include <random>
#include <vector>

#include <Eigen/Dense>

#include <fuller/calibrators/imtl_g.hpp>

#include "support/catch.hpp"
#include "support/steps.hpp"

using fuller::IMTL_G;
using fuller::IMTL_G_Options;
using fuller::testing::Jacobian;
using fuller::testing::random_jacobian;
using fuller::testing::Runner;
using fuller::testing::Step;
using fuller::testing::step_of;

namespace {

using WideMatrix = Eigen::Matrix<long double, Eigen::Dynamic, Eigen::Dynamic>;
using WideVector = Eigen::Matrix<long double, Eigen::Dynamic, 1>;

std::vector<double> weigh(const Step& step, const IMTL_G_Options& options = {}) {
  return Runner<IMTL_G>(IMTL_G(options), step.tasks)(step);
}

IMTL_G_Options with(IMTL_G_Options::Negative negative) {
  IMTL_G_Options options;
  options.negative = negative;
  return options;
}

/// alpha ~ N^-1 C^-1 1 with sum 1, from the gradients themselves, in long double.
Eigen::VectorXd oracle(const Jacobian& J) {
  const WideMatrix wide = J.cast<long double>();
  const WideVector n = wide.rowwise().norm();
  const WideMatrix U = n.cwiseInverse().asDiagonal() * wide;
  const WideMatrix C = U * U.transpose();
  const WideVector beta = C.fullPivLu().solve(WideVector::Ones(J.rows()));
  const WideVector alpha = beta.cwiseQuotient(n);
  return (alpha / alpha.sum()).cast<double>();
}

double largest_relative_error(const std::vector<double>& weights, const Eigen::VectorXd& expected) {
  double error = 0;
  for (Eigen::Index i = 0; i < expected.size(); ++i) {
    error = std::max(error, std::abs(weights[std::size_t(i)] - expected[i]) / std::abs(expected[i]));
  }
  return error;
}

/// The largest error, where the weights have sum 1.
double largest_error(const std::vector<double>& weights, const Eigen::VectorXd& expected) {
  return (Eigen::Map<const Eigen::VectorXd>(weights.data(), expected.size()) - expected).cwiseAbs().maxCoeff();
}

/// <g, u_i> for g = sum w_i g_i.
Eigen::VectorXd projections(const Jacobian& J, const std::vector<double>& weights) {
  return (J * fuller::testing::update(J, weights)).cwiseQuotient(J.rowwise().norm());
}

Jacobian rows(std::initializer_list<std::initializer_list<double>> values) {
  Jacobian J(static_cast<Eigen::Index>(values.size()), static_cast<Eigen::Index>(values.begin()->size()));
  Eigen::Index i = 0;
  for (const auto& row : values) {
    Eigen::Index p = 0;
    for (const double value : row) {
      J(i, p++) = value;
    }
    ++i;
  }
  return J;
}

/// Unit gradients (1, 0, .., t_i, .., 0) normalised: angles of about `angle` to each other, in general position.
Jacobian narrow_cone(int T, double angle, std::mt19937_64& random) {
  std::uniform_real_distribution<double> factor(0.5, 1);
  Jacobian J = Jacobian::Zero(T, T + 1);
  for (int i = 0; i < T; ++i) {
    J(i, 0) = 1;
    J(i, i + 1) = angle * factor(random);
  }
  return J;
}

}  // namespace

TEST_CASE("IMTL-G of two tasks is the other's share of the norms, whatever the angle") {
  const std::vector<double> weights = weigh(step_of(rows({{-4, 1, 1}, {6, 1, 1}})));
  const double n_1 = std::sqrt(18.0);
  const double n_2 = std::sqrt(38.0);
  CHECK(weights[0] == Approx(n_2 / (n_1 + n_2)).epsilon(1e-15));
  CHECK(weights[1] == Approx(n_1 / (n_1 + n_2)).epsilon(1e-15));
  CHECK(weights[0] == Approx(0.5923).margin(5e-5));

  for (const double angle : {0.0, 1e-12, 1e-4, 1e-3, 3e-3, 1.0, 3.0, 3.1415926535897931}) {
    INFO("angle " << angle);
    const std::vector<double> at_angle = weigh(step_of(rows({{1, 0}, {2 * std::cos(angle), 2 * std::sin(angle)}})));
    CHECK(at_angle[0] == Approx(2.0 / 3).epsilon(1e-14));
    CHECK(at_angle[1] == Approx(1.0 / 3).epsilon(1e-14));
  }
}

TEST_CASE("IMTL-G of three tasks, a worked example") {
  const Jacobian J = rows({{1, 2, 0}, {2, 0, 1}, {-1, 1, 3}});
  const std::vector<double> weights = weigh(step_of(J));
  CHECK(weights[0] == Approx(0.347122).margin(1e-6));
  CHECK(weights[1] == Approx(0.347122).margin(1e-6));
  CHECK(weights[2] == Approx(0.305756).margin(1e-6));
  const Eigen::VectorXd g = fuller::testing::update(J, weights);
  CHECK(g[0] == Approx(0.735609).margin(1e-6));
  CHECK(g[1] == Approx(1).margin(1e-6));
  CHECK(g[2] == Approx(1.264391).margin(1e-6));
  for (const double projection : projections(J, weights)) {
    CHECK(projection == Approx(1.223402).margin(1e-6));
  }
}

TEST_CASE("IMTL-G agrees with Eigen in long double") {
  std::mt19937_64 random(3);
  for (const int T : {2, 3, 4, 5, 8, 20, 64}) {
    for (int draw = 0; draw < 5; ++draw) {
      const Jacobian J = random_jacobian(T, 3 * T + 200, random);
      INFO("T = " << T);
      CHECK(largest_relative_error(weigh(step_of(J)), oracle(J)) < 1e-12);
    }
  }
}

TEST_CASE("IMTL-G keeps its digits at norm ratios of 1e8") {
  std::mt19937_64 random(4);
  for (const int T : {2, 3, 4, 8, 64}) {
    Jacobian J = random_jacobian(T, 3 * T + 200, random);
    for (int i = 0; i < T; ++i) {
      J.row(i) *= std::pow(10.0, 8.0 * i / (T - 1));
    }
    INFO("T = " << T);
    CHECK(largest_relative_error(weigh(step_of(J)), oracle(J)) < 1e-12);
  }
  // TorchJD's pseudo-inverse gives [1, 0] here from a ratio of 3000 on.
  const std::vector<double> weights = weigh(step_of(rows({{1, 0}, {0, 3e-4}})));
  CHECK(weights[0] == Approx(3e-4 / 1.0003).epsilon(1e-14));
  CHECK(weights[1] == Approx(1 / 1.0003).epsilon(1e-14));
}

TEST_CASE("IMTL-G at angles of 1e-4 is as right as the dot products are") {
  std::mt19937_64 random(5);
  std::uniform_real_distribution<double> sign(-1, 1);
  constexpr double angle = 1e-4;
  // The smallest 1 - cos of these cones is 2 (angle / 2)^2 / 2.
  constexpr double d = angle * angle / 4;
  for (const int T : {3, 4, 8}) {
    for (int draw = 0; draw < 20; ++draw) {
      const Jacobian J = narrow_cone(T, angle, random);
      Step step = step_of(J);
      const Eigen::VectorXd expected = oracle(J);
      INFO("T = " << T);
      // Rounding alone, here and in the Gram matrix: a few 1e-16 / d = 4e-8.
      CHECK(largest_error(weigh(step), expected) < 4 * 1e-16 / d);
      // Dot products wrong by 1e-12 n_i n_j: a few 1e-12 / d = 4e-4.
      for (int i = 0; i < T; ++i) {
        for (int j = 0; j < i; ++j) {
          step.gram[std::size_t(i * T + j)] *= 1 + 1e-12 * sign(random);
          step.gram[std::size_t(j * T + i)] = step.gram[std::size_t(i * T + j)];
        }
      }
      CHECK(largest_error(weigh(step), expected) < 4 * 1e-12 / d);
    }
  }
}

TEST_CASE("IMTL-G does not see a common scale from 1e-18 to 1e18") {
  std::mt19937_64 random(6);
  for (const int T : {2, 3, 4, 20}) {
    const Jacobian J = random_jacobian(T, 3 * T + 50, random);
    const Eigen::VectorXd expected = oracle(J);
    for (const double scale : {1e-18, 1e-9, 1e9, 1e18}) {
      INFO("T = " << T << ", scale " << scale);
      CHECK(largest_relative_error(weigh(step_of(scale * J)), expected) < 1e-12);
    }
  }
}

TEST_CASE("the ascent example: the sign flip and what each policy makes of it") {
  // Worked out by hand: beta = (.59537, .59537, -.19074) up to a factor, and sum beta_i / n_i < 0 for n = (1, 1, 0.1).
  const Eigen::Vector3d u_1(.5, std::sqrt(.75), 0);
  const Eigen::Vector3d u_2(.5, -std::sqrt(.75), 0);
  const Eigen::Vector3d u_3(std::sqrt(.5), 0, std::sqrt(.5));
  Jacobian J(3, 3);
  J << u_1.transpose(), u_2.transpose(), u_3.transpose();

  SECTION("equal norms: every unclamped policy is the paper") {
    for (const auto negative : {IMTL_G_Options::Negative::signed_shared, IMTL_G_Options::Negative::paper}) {
      const std::vector<double> weights = weigh(step_of(J), with(negative));
      CHECK(weights[0] == Approx(.59537).margin(1e-5));
      CHECK(weights[1] == Approx(.59537).margin(1e-5));
      CHECK(weights[2] == Approx(-.19074).margin(1e-5));
      for (const double projection : projections(J, weights)) {
        CHECK(projection == Approx(.23025).margin(1e-5));
      }
    }
  }
  SECTION("a short third gradient") {
    J.row(2) *= .1;
    const std::vector<double> paper = weigh(step_of(J), with(IMTL_G_Options::Negative::paper));
    CHECK(paper[0] == Approx(-.83072).margin(1e-5));
    CHECK(paper[2] == Approx(2.66144).margin(1e-5));
    for (const double projection : projections(J, paper)) {
      CHECK(projection == Approx(-.32126).margin(1e-5));
    }
    // Normalised by s / n_max, s = sum beta: the weights for equal norms, the third over 0.1; the same positive projections.
    const std::vector<double> shared = weigh(step_of(J));
    CHECK(shared[0] == Approx(.59537).margin(1e-5));
    CHECK(shared[1] == Approx(.59537).margin(1e-5));
    CHECK(shared[2] == Approx(-1.9074).margin(1e-4));
    for (const double projection : projections(J, shared)) {
      CHECK(projection == Approx(.23025).margin(1e-5));
    }
    const std::vector<double> clamped = weigh(step_of(J), with(IMTL_G_Options::Negative::clamp));
    CHECK(clamped[0] == Approx(.5).epsilon(1e-12));
    CHECK(clamped[1] == Approx(.5).epsilon(1e-12));
    CHECK(clamped[2] == 0);
  }
}

TEST_CASE("IMTL-G never steps uphill and never farther than the longest gradient") {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> exponent(-2, 2);
  int flips = 0;
  for (int draw = 0; draw < 2000; ++draw) {
    const int T = 3 + draw % 6;
    Jacobian J = random_jacobian(T, T + 2, random, 0, 0);
    for (int i = 0; i < T; ++i) {
      J.row(i) *= std::exp(exponent(random));
    }
    const Step step = step_of(J);
    const std::vector<double> weights = weigh(step);
    const Eigen::VectorXd projected = projections(J, weights);
    const double n_max = J.rowwise().norm().maxCoeff();
    CHECK(projected.minCoeff() > 0);
    CHECK(projected.maxCoeff() - projected.minCoeff() < 1e-6 * projected.maxCoeff());
    CHECK(fuller::testing::update(J, weights).norm() <= n_max * (1 + 1e-9));
    const std::vector<double> paper = weigh(step, with(IMTL_G_Options::Negative::paper));
    flips += projections(J, paper).minCoeff() < 0 ? 1 : 0;
  }
  CHECK(flips > 20);  // the draws do contain what the guard is for
}

TEST_CASE("IMTL-G of singular cosine matrices is finite, and fair to duplicates") {
  constexpr double tolerance = 2e-6;
  SECTION("duplicates share the weight of one, three tasks") {
    // By hand: beta = (1/2, 1/2, 1), n = (1, 1, 2).
    const std::vector<double> weights = weigh(step_of(rows({{1, 0}, {1, 0}, {0, 2}})));
    for (const double weight : weights) {
      CHECK(weight == Approx(1.0 / 3).margin(tolerance));
    }
  }
  SECTION("duplicates share the weight of one, more tasks") {
    std::mt19937_64 random(8);
    const Jacobian single = random_jacobian(4, 40, random);
    Jacobian doubled(5, 40);
    doubled << single, single.row(3);
    const Eigen::VectorXd alpha = oracle(single);
    const std::vector<double> weights = weigh(step_of(doubled));
    // The sum is still 1, so the pair together gets what the one had.
    for (int i = 0; i < 3; ++i) {
      CHECK(weights[std::size_t(i)] == Approx(alpha[i]).margin(tolerance));
    }
    CHECK(weights[3] == Approx(alpha[3] / 2).margin(tolerance));
    CHECK(weights[4] == Approx(alpha[3] / 2).margin(tolerance));
  }
  SECTION("all alike") {
    for (const int T : {3, 4, 9}) {
      const std::vector<double> weights = weigh(step_of(Jacobian::Constant(T, 5, 2.5)));
      for (const double weight : weights) {
        CHECK(weight == Approx(1.0 / T).margin(tolerance));
      }
    }
  }
  SECTION("parallel with different norms: shares of one direction, over the norms") {
    const std::vector<double> weights = weigh(step_of(rows({{1, 0}, {2, 0}, {4, 0}})));
    CHECK(weights[0] == Approx(4.0 / 7).margin(tolerance));
    CHECK(weights[1] == Approx(2.0 / 7).margin(tolerance));
    CHECK(weights[2] == Approx(1.0 / 7).margin(tolerance));
  }
  SECTION("opposite gradients cancel: no other vector has equal projections on both") {
    for (const Jacobian& J : {rows({{1, 0}, {-2, 0}, {0, 1}}), rows({{1, 0, 0}, {-2, 0, 0}, {0, 1, 0}, {0, 0, 1}})}) {
      const std::vector<double> weights = weigh(step_of(J));
      CHECK(weights[0] == Approx(2.0 / 3).margin(tolerance));
      CHECK(weights[1] == Approx(1.0 / 3).margin(tolerance));
      CHECK(fuller::testing::update(J, weights).norm() < tolerance);
    }
  }
  SECTION("more tasks than dimensions") {
    std::mt19937_64 random(9);
    for (int draw = 0; draw < 50; ++draw) {
      for (const double weight : weigh(step_of(random_jacobian(9, 5, random)))) {
        CHECK(std::isfinite(weight));
      }
    }
  }
}

TEST_CASE("IMTL-G can add up to the number of tasks") {
  std::mt19937_64 random(10);
  const Step step = step_of(random_jacobian(5, 300, random));
  IMTL_G_Options options;
  options.sum = fuller::WeightSum::tasks;
  const std::vector<double> one = weigh(step);
  const std::vector<double> tasks = weigh(step, options);
  double sum = 0;
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(tasks[i] == Approx(5 * one[i]).epsilon(1e-14));
    sum += tasks[i];
  }
  CHECK(sum == Approx(5).epsilon(1e-14));
}
