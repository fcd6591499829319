// SPDX-License-Identifier: Apache-2.0
// UPGrad, DualProj, MGDA, CAGrad and PCD by the conditions that characterise their solutions (Karush, Kuhn and Tucker), by closed
// forms of two tasks, and against a search through all active sets.
#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <Eigen/Dense>

#include <fuller/calibrators/cagrad.hpp>
#include <fuller/calibrators/dual_proj.hpp>
#include <fuller/calibrators/mgda.hpp>
#include <fuller/calibrators/pcd.hpp>
#include <fuller/calibrators/pcgrad.hpp>
#include <fuller/calibrators/upgrad.hpp>

#include "support/catch.hpp"
#include "support/steps.hpp"

using Eigen::MatrixXd;
using Eigen::VectorXd;
using fuller::testing::Jacobian;
using fuller::testing::random_jacobian;
using fuller::testing::Runner;
using fuller::testing::Step;
using fuller::testing::step_of;
using fuller::testing::update;

namespace {

template <class Rule>
VectorXd weights_of(const Rule& rule, const Step& step) {
  const std::vector<double> weights = Runner<Rule>(rule, step.tasks)(step);
  return Eigen::Map<const VectorXd>(weights.data(), step.tasks);
}

/// Gradients of several kinds: in conflict or not, more than there are dimensions, lengths far apart, copies and opposites.
Jacobian drawn(int draw, int T, std::mt19937_64& random) {
  Jacobian J = random_jacobian(T, draw % 3 == 0 ? std::max(1, T / 2) : T + 3, random, draw % 4 * 0.4, draw % 5 == 0 ? 4 : 1);
  if (draw % 7 == 3 && T > 2) {
    J.row(1) = 2 * J.row(0);
  }
  if (draw % 11 == 5 && T > 2) {
    J.row(2) = -J.row(0);
  }
  return J;
}

constexpr int counts[] = {1, 2, 3, 4, 6, 10, 20, 40, 64};

VectorXd norms_of(const Jacobian& J) { return J.rowwise().norm(); }

/// The smallest of x^T A x / 2 + q^T x over x >= 0, by trying every active set.
VectorXd by_trial(const MatrixXd& A, const VectorXd& q) {
  const auto n = int(q.size());
  for (int set = 0; set < 1 << n; ++set) {
    std::vector<int> active;
    for (int i = 0; i < n; ++i) {
      if ((set >> i & 1) != 0) {
        active.push_back(i);
      }
    }
    VectorXd x = VectorXd::Zero(n);
    if (!active.empty()) {
      const VectorXd solved = MatrixXd(A(active, active)).ldlt().solve(-VectorXd(q(active)));
      x(active) = solved;
    }
    if (x.minCoeff() >= -1e-12 && (A * x + q).minCoeff() >= -1e-11) {
      return x;
    }
  }
  return VectorXd::Constant(n, std::nan(""));
}

}  // namespace

TEST_CASE("the quadratic programme meets its conditions, and finds what trying every active set finds") {
  std::mt19937_64 random(1);
  for (int draw = 0; draw < 300; ++draw) {
    const int n = 1 + draw % 7;
    const Jacobian U = drawn(draw % 2 == 0 ? 1 : 2, n, random).rowwise().normalized();
    const MatrixXd A = U * U.transpose();
    const VectorXd q = VectorXd::NullaryExpr(n, [&] { return std::normal_distribution<double>()(random); });
    VectorXd x(n);
    VectorXd y(n);
    std::vector<double> scratch(std::size_t(fuller::detail::NonnegativeQp::scratch_size(n)));
    REQUIRE(fuller::detail::NonnegativeQp::solve(fuller::Serial{}, n, A.data(), q.data(), x.data(), y.data(), scratch.data()));
    CHECK((x - by_trial(A, q)).norm() < 1e-8 * (1 + x.norm()));
  }
}

TEST_CASE("the quadratic programme has no unit: q times a power of two is x and y times it, bit for bit") {
  std::mt19937_64 random(11);
  for (int draw = 0; draw < 120; ++draw) {
    const int n = 1 + draw % 9;
    const Jacobian U = drawn(draw, n, random).rowwise().normalized();
    const MatrixXd A = U * U.transpose();
    const VectorXd q = VectorXd::NullaryExpr(n, [&] { return std::normal_distribution<double>()(random); });
    VectorXd x(n);
    VectorXd y(n);
    std::vector<double> scratch(std::size_t(fuller::detail::NonnegativeQp::scratch_size(n)));
    const bool found =
        fuller::detail::NonnegativeQp::solve(fuller::Serial{}, n, A.data(), q.data(), x.data(), y.data(), scratch.data());
    for (const int exponent : {-400, -60, -20, 20, 60, 400}) {
      const VectorXd scaled = std::ldexp(1.0, exponent) * q;
      VectorXd x_s(n);
      VectorXd y_s(n);
      INFO("draw " << draw << ", 2^" << exponent);
      CHECK(fuller::detail::NonnegativeQp::solve(fuller::Serial{}, n, A.data(), scaled.data(), x_s.data(), y_s.data(),
                                                 scratch.data()) == found);
      CHECK(x_s == std::ldexp(1.0, exponent) * x);
      CHECK(y_s == std::ldexp(1.0, exponent) * y);
    }
  }
}

TEST_CASE("the quadratic programme says when no point meets all constraints") {
  // d in one dimension with d >= 1 and -d >= 1.
  const double A[] = {1, -1, -1, 1};
  const double q[] = {-1, -1};
  double x[2];
  double y[2];
  std::vector<double> scratch(std::size_t(fuller::detail::NonnegativeQp::scratch_size(2)));
  CHECK_FALSE(fuller::detail::NonnegativeQp::solve(fuller::Serial{}, 2, A, q, x, y, scratch.data()));
}

TEST_CASE("UPGrad is the mean of projections onto the dual cone, each of which meets its conditions") {
  std::mt19937_64 random(2);
  for (int draw = 0; draw < 90; ++draw) {
    const int T = counts[draw % 9];
    const Jacobian J = drawn(draw, T, random);
    const Step step = step_of(J);
    const VectorXd w = weights_of(fuller::UPGrad(), step);
    const VectorXd n = norms_of(J);
    INFO("T = " << T << ", draw " << draw);
    CHECK(w.minCoeff() >= 1.0 / T - 1e-15);
    const VectorXd d = J.transpose() * w;
    CHECK(((J * d).array() / n.array()).minCoeff() > -1e-10 * n.maxCoeff());
    if (T <= 6 && draw % 3 != 0 && draw % 7 != 3 && draw % 11 != 5) {
      // The definition: each gradient projected, by a search.
      const MatrixXd C = J.rowwise().normalized() * J.rowwise().normalized().transpose();
      VectorXd expected = VectorXd::Zero(J.cols());
      for (int i = 0; i < T; ++i) {
        const VectorXd x = by_trial(C, C.col(i));
        expected += (J.row(i).transpose() + n(i) * J.rowwise().normalized().transpose() * x) / T;
      }
      CHECK((d - expected).norm() < 1e-9 * expected.norm());
    }
  }
}

TEST_CASE("UPGrad of two tasks is half of PCGrad, and of tasks without conflict the mean") {
  std::mt19937_64 random(3);
  for (int draw = 0; draw < 40; ++draw) {
    const Step step = step_of(random_jacobian(2, 3, random, 0.5, 6));
    const VectorXd twice = 2 * weights_of(fuller::UPGrad(), step);
    CHECK((twice - weights_of(fuller::PCGrad(), step)).norm() < 1e-12 * twice.norm());
    fuller::UPGradOptions sum;
    sum.sum = fuller::WeightSum::tasks;
    CHECK((weights_of(fuller::UPGrad(sum), step) - twice).norm() < 1e-12 * twice.norm());
  }
  CHECK(weights_of(fuller::UPGrad(), step_of(Jacobian::Identity(4, 4))) == VectorXd::Constant(4, 0.25));
  CHECK(weights_of(fuller::DualProj(), step_of(Jacobian::Identity(4, 4))) == VectorXd::Constant(4, 0.25));
}

TEST_CASE("DualProj is the mean's projection onto the dual cone") {
  std::mt19937_64 random(4);
  for (int draw = 0; draw < 90; ++draw) {
    const int T = counts[draw % 9];
    const Jacobian J = drawn(draw, T, random);
    const VectorXd w = weights_of(fuller::DualProj(), step_of(J));
    const VectorXd d = J.transpose() * w;
    const VectorXd n = norms_of(J);
    const VectorXd multipliers = w.array() - 1.0 / T;
    INFO("T = " << T << ", draw " << draw);
    CHECK(multipliers.minCoeff() >= -1e-15);
    const VectorXd gains = (J * d).array() / n.array();
    CHECK(gains.minCoeff() > -1e-10 * n.maxCoeff());
    for (int i = 0; i < T; ++i) {
      CHECK(std::abs(multipliers(i) * n(i) * gains(i)) < 1e-10 * n.maxCoeff() * n.maxCoeff());
    }
  }
}

TEST_CASE("MGDA is the shortest vector of the hull, for norms 1e8 apart too") {
  std::mt19937_64 random(5);
  for (int draw = 0; draw < 120; ++draw) {
    const int T = counts[draw % 9];
    const Jacobian J = draw % 2 == 0 ? drawn(draw, T, random) : random_jacobian(T, T + 5, random, 0.3, std::log(1e4));
    const VectorXd w = weights_of(fuller::MGDA(), step_of(J));
    const VectorXd d = J.transpose() * w;
    const VectorXd n = norms_of(J);
    INFO("T = " << T << ", draw " << draw);
    CHECK(w.minCoeff() >= 0);
    CHECK(w.sum() == Approx(1).epsilon(1e-13));
    // (G w)_i >= w^T G w, with equality where w_i > 0; in units of n_i n_min.
    const VectorXd excess = ((J * d).array() - d.squaredNorm()) / n.array() / n.minCoeff();
    CHECK(excess.minCoeff() > -1e-10);
    CHECK(w.cwiseProduct(excess).cwiseAbs().maxCoeff() < 1e-10);
  }
}

TEST_CASE("MGDA's update is never longer than the shortest gradient, whatever cancels and however far apart lengths are") {
  std::mt19937_64 random(8);
  std::uniform_int_distribution<int> mantissa(-128, 127);
  std::uniform_int_distribution<int> exponent(-8, 8);
  int apart = 0;
  for (int draw = 0; draw < 20000; ++draw) {
    const int T = 2 + draw % 5;
    Jacobian J = Jacobian::Zero(T, 1 + draw % 3);
    for (int i = 0; i < T; ++i) {
      while (J.row(i).norm() == 0) {
        for (int p = 0; p < J.cols(); ++p) {
          J(i, p) = J.cols() > 1 && draw % 4 == p ? 0 : mantissa(random) * std::pow(10.0, exponent(random));
        }
      }
    }
    const VectorXd w = weights_of(fuller::MGDA(), step_of(J));
    INFO("draw " << draw << ":\n" << J << "\n" << w.transpose());
    CHECK(w.minCoeff() >= 0);
    CHECK(w.sum() == Approx(1).epsilon(1e-13));
    const VectorXd n = norms_of(J);
    const auto longest_part = double(w.cwiseProduct(n).maxCoeff());
    CHECK((J.transpose() * w).norm() <= n.minCoeff() + 1e-15 * T * longest_part);
    apart += n.maxCoeff() > 1e12 * n.minCoeff() ? 1 : 0;
  }
  CHECK(apart > 1000);
}

TEST_CASE("MGDA finds gradients that cancel beside a shorter one") {
  // 1/21 of the first and 20/21 of the third is nothing.
  const VectorXd w = weights_of(fuller::MGDA(), step_of((Jacobian(3, 2) << -1e8, 0, 0, 1, 5e6, 0).finished()));
  CHECK((w - (VectorXd(3) << 1.0 / 21, 0, 20.0 / 21).finished()).norm() < 1e-12);
}

TEST_CASE("MGDA of two tasks has a closed form") {
  std::mt19937_64 random(6);
  for (int draw = 0; draw < 60; ++draw) {
    const Step step = step_of(random_jacobian(2, 3, random, 0.5, 3));
    const double* const G = step.gram.data();
    const double first = std::min(1.0, std::max(0.0, (G[3] - G[1]) / (G[0] + G[3] - 2 * G[1])));
    CHECK(weights_of(fuller::MGDA(), step)(0) == Approx(first).margin(1e-12));
  }
}

TEST_CASE("CAGrad has the largest smallest gain within its ball") {
  std::mt19937_64 random(7);
  for (int draw = 0; draw < 162; ++draw) {
    const int T = counts[draw % 9];
    const double c = draw % 4 == 0 ? 0.0 : draw % 4 == 1 ? 0.4 : draw % 4 == 2 ? 0.9 : 2.0;
    const Jacobian J = drawn(draw, T, random);
    fuller::CAGradOptions options;
    options.c = c;
    options.rescale = fuller::CAGradOptions::Rescale::one;
    const VectorXd w = weights_of(fuller::CAGrad(options), step_of(J));
    const VectorXd x = w.array() - 1.0 / T;
    const VectorXd g_0 = J.colwise().mean();
    const VectorXd away = J.transpose() * w - g_0;
    const VectorXd n = norms_of(J);
    const double r = c * g_0.norm();
    INFO("T = " << T << ", draw " << draw << ", c " << c);
    CHECK(x.minCoeff() >= -1e-15);
    CHECK(away.norm() <= r * (1 + 1e-10) + 1e-12 * n.maxCoeff());
    const VectorXd gains = J * (g_0 + away);
    const double mu = gains.minCoeff();
    // The conditions: d is the nearest point to g_0 with gains of at least mu, and mu cannot be larger.
    for (int i = 0; i < T; ++i) {
      CHECK(std::abs(x(i) * n(i) * (gains(i) - mu)) < 1e-9 * n.maxCoeff() * n.maxCoeff() * n.maxCoeff());
    }
    if (c > 0 && away.norm() < r * (1 - 1e-9)) {
      CHECK(std::abs(mu) < 1e-9 * n.maxCoeff() * n.maxCoeff());  // the gradients can cancel, and no mu > 0 can be had
    }
  }
}

TEST_CASE("CAGrad of one task, and with c = 0, is the mean; its rescaling divides") {
  const Step step = step_of((Jacobian(2, 2) << 1, 0, -1, 2).finished());
  fuller::CAGradOptions options;
  options.c = 0;
  CHECK(weights_of(fuller::CAGrad(options), step) == VectorXd::Constant(2, 0.5));
  options.c = 0.5;
  const VectorXd scaled = weights_of(fuller::CAGrad(options), step);
  options.rescale = fuller::CAGradOptions::Rescale::one;
  CHECK((scaled * 1.25 - weights_of(fuller::CAGrad(options), step)).norm() < 1e-15);
  CHECK(weights_of(fuller::CAGrad(options), step_of(Jacobian::Constant(1, 1, 3)))(0) == Approx(1.5).epsilon(1e-11));
}

TEST_CASE("PCD's first step of two tasks: mu = max(0, tau - cos) by hand, as long as the primary's gradient") {
  fuller::PCDOptions options;
  options.epsilon = 1e-300;
  for (const double angle : {0.2, 1.4, 1.7, 2.5}) {
    Jacobian J(2, 2);
    J << 3, 0, 5 * std::cos(angle), 5 * std::sin(angle);
    const VectorXd w = weights_of(fuller::PCD(options), step_of(J));
    // Normalised gradients are unit vectors: d ~ u_1 + mu u_2.
    const double mu = std::max(0.0, 0.02 - std::cos(angle));
    const double length = std::sqrt(1 + 2 * mu * std::cos(angle) + mu * mu);
    CHECK(w(0) == Approx(1 / length).epsilon(1e-12));
    CHECK(w(1) == Approx(mu / length * 3 / 5).epsilon(1e-12).margin(1e-15));
    CHECK((J.transpose() * w).norm() == Approx(3).epsilon(1e-12));
  }
}

TEST_CASE("PCD meets its constraints with the means of its steps, whichever task is the primary") {
  std::mt19937_64 random(8);
  for (const int T : {2, 3, 8, 30}) {
    fuller::PCDOptions options;
    options.primary = T / 2;
    options.beta = 0.9;
    Runner<fuller::PCD> run(fuller::PCD(options), T);
    VectorXd mean = VectorXd::Zero(T);
    for (int k = 1; k < 12; ++k) {
      const Jacobian J = random_jacobian(T, T + 10, random, 0.5);
      const std::vector<double> weights = run(step_of(J));
      const VectorXd d = update(J, weights);
      mean = 0.9 * mean + 0.1 * norms_of(J).cwiseAbs2();
      const VectorXd s = (mean.array() / (1 - std::pow(0.9, k)) + 1e-8).rsqrt();
      // Back to the normalised d: the primary's multiplier is s_1 there.
      const VectorXd normalised = d * (s(options.primary) / weights[std::size_t(options.primary)]);
      CHECK(d.norm() == Approx(J.row(options.primary).norm()).epsilon(1e-10));
      for (int j = 0; j < T; ++j) {
        if (j != options.primary) {
          const VectorXd g = s(j) * J.row(j);
          const double slack = g.dot(normalised) - options.tau * g.squaredNorm();
          CHECK(slack > -1e-10);
          CHECK(std::abs(weights[std::size_t(j)] * slack) < 1e-9);
        }
      }
    }
  }
}

TEST_CASE("PCD: constraints that contradict each other leave the primary's step; without the primary, the others' sum") {
  Jacobian J(3, 2);
  J << 1, 1, 2, 0, -3, 0;  // <d, g_2> > 0 and <d, g_3> > 0 cannot be
  Step step = step_of(J);
  const VectorXd w = weights_of(fuller::PCD(), step);
  CHECK(w(0) == Approx(1).epsilon(1e-15));
  CHECK(w.tail(2) == VectorXd::Zero(2));
  step.present[0] = 0;
  CHECK(weights_of(fuller::PCD(), step) == (VectorXd(3) << 0, 1, 1).finished());
}

TEST_CASE("gradients that are copies or opposites have one update, whichever of them carries the weight") {
  std::mt19937_64 random(9);
  for (int draw = 0; draw < 30; ++draw) {
    const Jacobian three = random_jacobian(3, 5, random, 0.6);
    Jacobian five(5, 5);
    five << three, three.row(1), three.row(1);
    const VectorXd plain = three.transpose() * weights_of(fuller::MGDA(), step_of(three));
    const VectorXd copied = five.transpose() * weights_of(fuller::MGDA(), step_of(five));
    CHECK((plain - copied).norm() < 1e-10 * (1 + plain.norm()));
  }
}
