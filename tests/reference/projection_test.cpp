// SPDX-License-Identifier: Apache-2.0
// PCGrad and wPCGrad, which work on the Gram matrix, against the papers' algorithms on the gradient vectors themselves.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include <Eigen/Dense>

#include <fuller/calibrators/pcgrad.hpp>
#include <fuller/calibrators/wpcgrad.hpp>

#include "support/catch.hpp"
#include "support/steps.hpp"

using fuller::PCGrad;
using fuller::PCGradOptions;
using fuller::WPCGrad;
using fuller::WPCGradOptions;
using fuller::testing::Jacobian;
using fuller::testing::random_jacobian;
using fuller::testing::Runner;
using fuller::testing::Step;
using fuller::testing::step_of;
using fuller::testing::update;

namespace fuller::testing {

/// A task distribution of a user's own: it always draws task `rank_of` = 0 first, then 1, and so on.
struct FixedOrder {
  static constexpr const char* name = "fixed order";
  static constexpr bool needs_losses = false;
  fuller::TaskVector rank_of;

  int state_size(int) const { return 0; }
  void initialise(int, double*) const {}
  template <class Lanes, int Tasks>
  void operator()(Lanes lanes, const fuller::Evidence<Tasks>& evidence, double*, double* log_p) const {
    for (int i = lanes.index(); i < evidence.tasks(); i += Lanes::count) {
      log_p[i] = -1e6 * rank_of[i];
    }
    lanes.sync();
  }
};

}  // namespace fuller::testing

using fuller::testing::FixedOrder;

namespace {

WPCGrad<FixedOrder> in_order(const std::vector<int>& order, bool literal) {
  std::vector<double> rank_of(order.size());
  for (std::size_t r = 0; r < order.size(); ++r) {
    rank_of[std::size_t(order[r])] = double(r);
  }
  WPCGradOptions options;
  options.literal_algorithm_2 = literal;
  return WPCGrad<FixedOrder>(FixedOrder{fuller::TaskVector(rank_of)}, options);
}

/// Algorithm 1 of PCGrad on vectors, with the orders of the rule.
Eigen::VectorXd pcgrad_on_vectors(const Jacobian& J, std::uint64_t seed, std::int64_t step) {
  Eigen::VectorXd sum = Eigen::VectorXd::Zero(J.cols());
  for (Eigen::Index i = 0; i < J.rows(); ++i) {
    std::vector<std::uint8_t> order;
    for (Eigen::Index j = 0; j < J.rows(); ++j) {
      if (j != i) {
        order.push_back(std::uint8_t(j));
      }
    }
    fuller::shuffle(order.data(), int(order.size()), seed, step, std::uint32_t(i));
    Eigen::VectorXd p = J.row(i);
    for (const std::uint8_t j : order) {
      const Eigen::VectorXd g_j = J.row(j);
      if (p.dot(g_j) < 0) {
        p -= p.dot(g_j) / g_j.squaredNorm() * g_j;
      }
    }
    sum += p;
  }
  return sum;
}

/// Algorithm 2 of wPCGrad on vectors; rows of the result are the g_j^PC.
Jacobian wpcgrad_on_vectors(const Jacobian& J, const std::vector<int>& order, bool literal) {
  Jacobian p = J;
  for (const int i : order) {
    const Eigen::VectorXd along = (literal ? J : p).row(i);
    if (!literal && along.squaredNorm() <= 1e-12 * J.row(i).squaredNorm()) {
      continue;
    }
    for (Eigen::Index j = 0; j < J.rows(); ++j) {
      const double product = p.row(i).dot(p.row(j));
      // Under the reading that is not literal, tasks drawn earlier cannot be in conflict but for rounding.
      const bool drawn_earlier = std::find(order.begin(), order.end(), int(j)) < std::find(order.begin(), order.end(), i);
      if (j != i && product < 0 && (literal || !drawn_earlier)) {
        p.row(j) -= product / along.squaredNorm() * along.transpose();
      }
    }
  }
  return p;
}

Jacobian worked_example() {
  Jacobian J(3, 3);
  J << 1, 0, 0, -1, 1, 0, .2, -1, 1;
  return J;
}

void check_update(const Jacobian& J, const std::vector<int>& order, bool literal, const Eigen::Vector3d& expected) {
  const Step step = step_of(J);
  const Eigen::VectorXd g = update(J, Runner<WPCGrad<FixedOrder>>(in_order(order, literal), 3)(step));
  CHECK((g - expected).cwiseAbs().maxCoeff() < 2e-6);
}

}  // namespace

TEST_CASE("PCGrad of two tasks in conflict involves no chance") {
  Jacobian J(2, 3);
  J << -4, 1, 1, 6, 1, 1;
  for (std::int64_t k = 0; k < 5; ++k) {
    Step step = step_of(J);
    step.step = k;
    const std::vector<double> weights = Runner<PCGrad>(PCGrad(), 2)(step);
    CHECK(weights[0] == Approx(1 + 22.0 / 18).epsilon(1e-15));
    CHECK(weights[1] == Approx(1 + 22.0 / 38).epsilon(1e-15));
    const Eigen::VectorXd g = update(J, weights);
    CHECK(g[0] == Approx(.5848).margin(5e-5));
    CHECK(g[1] == Approx(3.8012).margin(5e-5));
  }
}

TEST_CASE("without conflict PCGrad and wPCGrad leave the sum alone") {
  Jacobian J(3, 3);
  J << 1, 0, 0, 1, 1, 0, 0, 1, 1;
  const Step step = step_of(J);
  CHECK(Runner<PCGrad>(PCGrad(), 3)(step) == std::vector<double>{1, 1, 1});
  CHECK(Runner<WPCGrad<>>(WPCGrad(), 3)(step) == std::vector<double>{1, 1, 1});
}

TEST_CASE("PCGrad by the Gram matrix is PCGrad on the vectors") {
  std::mt19937_64 random(11);
  for (const int T : {2, 3, 4, 8, 20, 64}) {
    for (int draw = 0; draw < 10; ++draw) {
      const Jacobian J = random_jacobian(T, T + 30, random, 0.5);
      Step step = step_of(J);
      step.step = draw + (std::int64_t(draw) << 33);
      PCGradOptions options;
      options.seed = 77;
      const std::vector<double> weights = Runner<PCGrad>(PCGrad(options), T)(step);
      const Eigen::VectorXd expected = pcgrad_on_vectors(J, 77, step.step);
      INFO("T = " << T);
      CHECK((update(J, weights) - expected).norm() < 1e-11 * J.rowwise().norm().sum());
      CHECK(*std::min_element(weights.begin(), weights.end()) >= 1);
    }
  }
}

TEST_CASE("PCGrad depends on seed and step, and on nothing else") {
  std::mt19937_64 random(12);
  Step step = step_of(random_jacobian(8, 12, random, 1));
  const std::vector<double> first = Runner<PCGrad>(PCGrad(), 8)(step);
  CHECK(Runner<PCGrad>(PCGrad(), 8)(step) == first);
  step.step = 1;
  CHECK(Runner<PCGrad>(PCGrad(), 8)(step) != first);
  step.step = 0;
  PCGradOptions options;
  options.seed = 1;
  CHECK(Runner<PCGrad>(PCGrad(options), 8)(step) != first);
}

TEST_CASE("PCGrad neither overflows nor underflows") {
  Jacobian tiny(2, 2);
  tiny << 1, 0, -1e-25, 0;  // 1e-50 as squared norm; TorchJD's float Gram matrix makes this weight infinite
  const std::vector<double> weights = Runner<PCGrad>(PCGrad(), 2)(step_of(tiny));
  CHECK(weights[0] == Approx(1 + 1e-25));
  CHECK(weights[1] == Approx(1e25));
  std::mt19937_64 random(13);
  const Jacobian J = random_jacobian(5, 8, random, 1);
  const std::vector<double> expected = Runner<PCGrad>(PCGrad(), 5)(step_of(J));
  for (const double scale : {1e-18, 1e18}) {
    const std::vector<double> scaled = Runner<PCGrad>(PCGrad(), 5)(step_of(scale * J));
    for (std::size_t i = 0; i < 5; ++i) {
      CHECK(scaled[i] == Approx(expected[i]).epsilon(1e-12));
    }
  }
}

TEST_CASE("wPCGrad of two tasks: the one drawn first keeps its gradient") {
  Jacobian J(2, 3);
  J << -4, 1, 1, 6, 1, 1;
  const Step step = step_of(J);
  for (const bool literal : {false, true}) {
    const std::vector<double> first = Runner<WPCGrad<FixedOrder>>(in_order({0, 1}, literal), 2)(step);
    CHECK(first[0] == Approx(1 + 22.0 / 18).epsilon(1e-15));
    CHECK(first[1] == 1);
    const std::vector<double> second = Runner<WPCGrad<FixedOrder>>(in_order({1, 0}, literal), 2)(step);
    CHECK(second[0] == 1);
    CHECK(second[1] == Approx(1 + 22.0 / 38).epsilon(1e-15));
  }
}

TEST_CASE("wPCGrad of three tasks, worked out by hand for three orders and both readings") {
  const Jacobian J = worked_example();
  check_update(J, {0, 1, 2}, false, {1.2, 1, 1});
  check_update(J, {1, 0, 2}, false, {-.5, 1.5, 1});
  check_update(J, {2, 1, 0}, false, {-.283957, -.307487, 1.989305});
  check_update(
      J, {0, 1, 2}, true,
      Eigen::Vector3d(1.029412, -.147059, .147059) + Eigen::Vector3d(.04902, .754902, .245098) + Eigen::Vector3d(-.3, -.5, 1));
}

TEST_CASE("wPCGrad by the Gram matrix is Algorithm 2 on the vectors, and leaves no conflict") {
  std::mt19937_64 random(14);
  int literal_conflicts = 0;
  for (const int T : {2, 3, 4, 8, 20, 64}) {
    for (int draw = 0; draw < 10; ++draw) {
      const Jacobian J = random_jacobian(T, T + 30, random, 0.5);
      const Eigen::VectorXd n = J.rowwise().norm();
      const Step step = step_of(J);
      std::vector<int> order(static_cast<std::size_t>(T));
      for (int i = 0; i < T; ++i) {
        order[std::size_t(i)] = i;
      }
      std::shuffle(order.begin(), order.end(), random);
      INFO("T = " << T);

      const Jacobian p = wpcgrad_on_vectors(J, order, false);
      const Eigen::MatrixXd residual = n.cwiseInverse().asDiagonal() * (p * p.transpose()) * n.cwiseInverse().asDiagonal();
      CHECK(residual.minCoeff() > -1e-13);
      CHECK((p.row(order[0]) - J.row(order[0])).norm() == 0);
      const Eigen::VectorXd g = update(J, Runner<WPCGrad<FixedOrder>>(in_order(order, false), T)(step));
      CHECK((g - p.colwise().sum().transpose()).norm() < 1e-11 * n.sum());

      const Jacobian q = wpcgrad_on_vectors(J, order, true);
      const Eigen::VectorXd literal = update(J, Runner<WPCGrad<FixedOrder>>(in_order(order, true), T)(step));
      // The printed algorithm is no contraction: errors may grow with the p themselves.
      CHECK((literal - q.colwise().sum().transpose()).norm() < 1e-9 * (n.sum() + q.rowwise().norm().sum()));
      const Eigen::MatrixXd left = n.cwiseInverse().asDiagonal() * (q * q.transpose()) * n.cwiseInverse().asDiagonal();
      literal_conflicts += T > 2 && left.minCoeff() < -1e-6 ? 1 : 0;
    }
  }
  CHECK(literal_conflicts > 25);  // more than half of 50: the literal reading does leave conflicts, as its doc comment says
}

TEST_CASE("wPCGrad does not amplify rounding where a projected gradient vanishes") {
  std::mt19937_64 random(15);
  for (int draw = 0; draw < 3000; ++draw) {
    const int T = 4 + draw % 4;
    const Jacobian J = random_jacobian(T, 3, random, 2);  // fewer dimensions than tasks: some p_i are 0 but for rounding
    std::vector<int> order(static_cast<std::size_t>(T));
    for (int i = 0; i < T; ++i) {
      order[std::size_t(i)] = (i + draw) % T;
    }
    const Eigen::VectorXd g = update(J, Runner<WPCGrad<FixedOrder>>(in_order(order, false), T)(step_of(J)));
    // Projections never lengthen.
    CHECK(g.norm() <= J.rowwise().norm().sum() * (1 + 1e-3));
  }
}

TEST_CASE("wPCGrad: a gradient of which nothing is left takes no part any more") {
  // g_1 = -lambda g_0 is gone once g_0 has been, and g_2 has then lost its part along g_0: weights (1 + lambda + kappa, 1, 1).
  std::mt19937_64 random(16);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> between(0.2, 5);
  for (int draw = 0; draw < 200; ++draw) {
    Jacobian J = Jacobian::NullaryExpr(3, 3, [&] { return normal(random); });
    const double lambda = between(random);
    J.row(1) = -lambda * J.row(0);
    if (J.row(0).dot(J.row(2)) > 0) {
      J.row(2) *= -1;
    }
    const double kappa = -J.row(0).dot(J.row(2)) / J.row(0).squaredNorm();
    const std::vector<double> w = Runner<WPCGrad<FixedOrder>>(in_order({0, 1, 2}, false), 3)(step_of(J));
    INFO("draw " << draw);
    CHECK(w[0] == Approx(1 + lambda + kappa).epsilon(1e-9));
    CHECK(w[1] == 1);
    CHECK(w[2] == 1);
  }
}

TEST_CASE("wPCGrad draws in the frequencies of DTP") {
  Jacobian J(2, 2);
  J << 1, 0, -1, 1;  // in conflict: the weights tell who came first
  Step step = step_of(J);
  fuller::DTPOptions dtp;
  dtp.scales = {1, 1};
  Runner<WPCGrad<>> run{WPCGrad{fuller::DTP(dtp)}, 2};
  const auto share_of_first = [&](std::int64_t epoch, int steps) {
    int first = 0;
    step.epoch = epoch;
    for (int k = 0; k < steps; ++k) {
      ++step.step;
      first += run(step)[1] == 1 ? 1 : 0;
    }
    return double(first) / steps;
  };
  step.losses = {1, 3};
  constexpr int steps = 20000;
  CHECK(share_of_first(0, steps) == Approx(.5).margin(5 * std::sqrt(.25 / steps)));
  // gamma = 2: 1 : 9.
  CHECK(share_of_first(1, steps) == Approx(.1).margin(5 * std::sqrt(.09 / steps)));
}
