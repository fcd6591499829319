// SPDX-License-Identifier: Apache-2.0
// ConFIG, Aligned-MTL, GradVac, DB-MTL, FairGrad and Nash-MTL against their papers' algorithms on the gradient vectors
// themselves, against closed forms, and by what characterises their solutions.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include <Eigen/Dense>

#include <fuller/calibrators/aligned_mtl.hpp>
#include <fuller/calibrators/con_fig.hpp>
#include <fuller/calibrators/dbmtl.hpp>
#include <fuller/calibrators/fair_grad.hpp>
#include <fuller/calibrators/grad_vac.hpp>
#include <fuller/calibrators/nash_mtl.hpp>
#include <fuller/calibrators/pcgrad.hpp>

#include "support/catch.hpp"
#include "support/steps.hpp"

using Eigen::VectorXd;
using fuller::testing::Jacobian;
using fuller::testing::random_jacobian;
using fuller::testing::Runner;
using fuller::testing::Step;
using fuller::testing::step_of;
using fuller::testing::update;

namespace {

template <class Rule>
std::vector<double> weights_of(const Rule& rule, const Step& step) {
  return Runner<Rule>(rule, step.tasks)(step);
}

VectorXd as_vector(const std::vector<double>& values) {
  return Eigen::Map<const VectorXd>(values.data(), Eigen::Index(values.size()));
}

/// Gradients whose lengths are up to 1e8 apart.
Jacobian far_apart(int T, int P, std::mt19937_64& random) { return random_jacobian(T, P, random, 0.3, std::log(1e4)); }

}  // namespace

TEST_CASE("ConFIG is the pseudo-inverse's direction with the sum of projections as its length") {
  std::mt19937_64 random(1);
  for (int draw = 0; draw < 60; ++draw) {
    const int T = 1 + draw % 12;
    const Jacobian J = random_jacobian(T, T + 4 + draw % 9, random, draw % 3 * 0.5);
    const Jacobian U = J.rowwise().normalized();
    const VectorXd direction = U.completeOrthogonalDecomposition().solve(VectorXd::Ones(T)).normalized();
    const VectorXd expected = (J * direction).sum() * direction;
    const VectorXd found = update(J, weights_of(fuller::ConFIG(), step_of(J)));
    CHECK((found - expected).norm() < 1e-9 * expected.norm());
  }
}

TEST_CASE("ConFIG has the same projection on every unit gradient, norms 1e8 apart, up to 64 tasks") {
  std::mt19937_64 random(2);
  for (const int T : {2, 3, 8, 20, 64}) {
    const Jacobian J = far_apart(T, 3 * T, random);
    const VectorXd projections = J.rowwise().normalized() * update(J, weights_of(fuller::ConFIG(), step_of(J)));
    CHECK(projections.minCoeff() > 0);
    CHECK((projections.array() / projections.mean() - 1).abs().maxCoeff() < 1e-7);
  }
}

TEST_CASE("ConFIG of two tasks does not see the angle: w_i = (n_1 + n_2) / (2 n_i)") {
  for (const double angle : {0.0, 1e-9, 0.4, 1.6, 3.0, 3.14159265358979}) {
    Jacobian J(2, 2);
    J << 3, 0, 5 * std::cos(angle), 5 * std::sin(angle);
    const std::vector<double> w = weights_of(fuller::ConFIG(), step_of(J));
    CHECK(w[0] == Approx(8.0 / 6).epsilon(1e-14));
    CHECK(w[1] == Approx(8.0 / 10).epsilon(1e-14));
  }
}

TEST_CASE("Jacobi's eigenvalues and vectors rebuild the matrix, up to 64 tasks and for repeated values") {
  std::mt19937_64 random(3);
  for (const int n : {1, 2, 3, 4, 7, 20, 64}) {
    for (const bool repeated : {false, true}) {
      Jacobian A = random_jacobian(n, n + 2, random);
      A = repeated ? Jacobian(2 * Jacobian::Identity(n, n) + Jacobian::Constant(n, n, 3)) : Jacobian(A * A.transpose());
      std::vector<double> values(std::size_t(n * n));
      std::vector<double> vectors(std::size_t(n * n));
      std::vector<double> rotations(std::size_t(n + 1));
      Eigen::Map<Jacobian>(values.data(), n, n) = A;
      fuller::detail::symmetric_eigen(fuller::Serial{}, n, values.data(), vectors.data(), rotations.data());
      const Jacobian V = Eigen::Map<Jacobian>(vectors.data(), n, n);  // columns, since rows are stored one after the other
      VectorXd lambda(n);
      for (int k = 0; k < n; ++k) {
        lambda(k) = values[std::size_t(k * n + k)];
      }
      CHECK((V * lambda.asDiagonal() * V.transpose() - A).norm() < 1e-13 * n * A.norm());
      CHECK((V.transpose() * V - Jacobian::Identity(n, n)).norm() < 1e-13 * n);
      std::sort(lambda.data(), lambda.data() + n);
      const VectorXd expected = Eigen::SelfAdjointEigenSolver<Jacobian>(A).eigenvalues();
      CHECK((lambda - expected).norm() < 1e-13 * n * expected.norm());
    }
  }
}

TEST_CASE("Aligned-MTL makes the principal components as long as the shortest, the median or the mean") {
  using Scale = fuller::AlignedMTLOptions::Scale;
  std::mt19937_64 random(4);
  for (const Scale scale : {Scale::min, Scale::median, Scale::mean}) {
    for (const int T : {1, 2, 3, 6, 17, 64}) {
      for (const int rank : {T, (T + 1) / 2}) {
        const Jacobian J = random_jacobian(T, rank, random) * random_jacobian(rank, T + 5, random);
        fuller::AlignedMTLOptions options;
        options.scale = scale;
        const std::vector<double> w = weights_of(fuller::AlignedMTL(options), step_of(J));
        // J = P S Q^T; the update is sqrt(sigma) Q P^T 1 over the components kept.
        const Eigen::JacobiSVD<Jacobian> svd(J, Eigen::ComputeThinU | Eigen::ComputeThinV);
        VectorXd squares = svd.singularValues().head(rank).array().square();
        std::sort(squares.data(), squares.data() + rank);
        const double sigma = scale == Scale::min ? squares(0) : scale == Scale::median ? squares((rank - 1) / 2) : squares.mean();
        const VectorXd expected =
            std::sqrt(sigma) * svd.matrixV().leftCols(rank) * (svd.matrixU().leftCols(rank).transpose() * VectorXd::Ones(T));
        INFO("T = " << T << ", rank " << rank << ", scale " << static_cast<int>(scale));
        CHECK((update(J, w) - expected).norm() < 1e-6 * expected.norm() + 1e-12);
      }
    }
  }
}

// With G = (1, c e; c e, e^2) and e -> 0: lambda = 1 and e^2 (1 - c^2), v = (1, c e) and (-c e, 1), so that the weights are
// e (sqrt(1 - c^2) - c) and 1.
TEST_CASE("Aligned-MTL keeps the component of a gradient 1e8 times shorter than the other") {
  const double e = 1e-8;
  for (const double c : {0.0, 0.5, -0.8}) {
    const double s = std::sqrt(1 - c * c);
    Jacobian J(2, 2);
    J << 1, 0, e * c, e * s;
    const std::vector<double> w = weights_of(fuller::AlignedMTL(), step_of(J));
    CHECK(w[0] / e == Approx(s - c).margin(1e-7));
    CHECK(w[1] == Approx(1).margin(1e-7));
  }
}

namespace {

/// Algorithm 1 of GradVac on vectors, in the orders that the rule draws.
VectorXd grad_vac(const Jacobian& J, Jacobian& targets, double beta, std::uint64_t seed, std::int64_t step) {
  const auto T = int(J.rows());
  VectorXd sum = VectorXd::Zero(J.cols());
  for (int i = 0; i < T; ++i) {
    std::vector<std::uint8_t> order;
    for (int k = 0; k < T; ++k) {
      if (k != i) {
        order.push_back(std::uint8_t(k));
      }
    }
    fuller::shuffle(order.data(), T - 1, seed, step, std::uint32_t(i));
    VectorXd p = J.row(i);
    for (const int j : order) {
      const double phi = p.dot(J.row(j)) / p.norm() / J.row(j).norm();
      const double goal = targets(i, j);
      if (phi < goal) {
        p += p.norm() * (goal * std::sqrt(1 - phi * phi) - phi * std::sqrt(1 - goal * goal)) /
             (J.row(j).norm() * std::sqrt(1 - goal * goal)) * J.row(j).transpose();
        CHECK(p.dot(J.row(j)) / p.norm() / J.row(j).norm() == Approx(goal).margin(1e-9));  // it has the cosine asked for
      }
      targets(i, j) = (1 - beta) * goal + beta * phi;
    }
    sum += p;
  }
  return sum;
}

}  // namespace

TEST_CASE("GradVac on the Gram matrix is GradVac on the vectors, over many steps") {
  std::mt19937_64 random(5);
  for (const int T : {2, 3, 5, 16}) {
    fuller::GradVacOptions options;
    options.beta = 0.3;
    options.seed = 77;
    Runner<fuller::GradVac> run(fuller::GradVac(options), T);
    Jacobian targets = Jacobian::Zero(T, T);
    for (int k = 0; k < 12; ++k) {
      const Jacobian J = random_jacobian(T, T + 3, random, k % 2 == 0 ? 0.8 : 0.2);
      Step step = step_of(J);
      step.step = k;
      const VectorXd expected = grad_vac(J, targets, options.beta, options.seed, k);
      CHECK((update(J, run(step)) - expected).norm() < 1e-9 * expected.norm());
      CHECK((Eigen::Map<const Eigen::Matrix<double, -1, -1, Eigen::RowMajor>>(run.state.data(), T, T) - targets).norm() < 1e-9);
    }
  }
}

TEST_CASE("GradVac's first step, and each with beta = 0, is PCGrad's") {
  std::mt19937_64 random(6);
  fuller::GradVacOptions frozen;
  frozen.beta = 0;
  Runner<fuller::GradVac> run(fuller::GradVac(frozen), 6);
  for (int k = 0; k < 5; ++k) {
    Step step = step_of(random_jacobian(6, 9, random, 0.7));
    step.step = k;
    const std::vector<double> expected = weights_of(fuller::PCGrad(), step);
    const std::vector<double> first = weights_of(fuller::GradVac(), step);
    const std::vector<double> always = run(step);
    for (std::size_t i = 0; i < 6; ++i) {
      CHECK(first[i] == Approx(expected[i]).epsilon(1e-11));
      CHECK(always[i] == Approx(expected[i]).epsilon(1e-11));
    }
  }
}

TEST_CASE("GradVac stays finite when gradients that were one direction for long turn against each other") {
  Jacobian same(2, 2);
  same << 1, 0, 2, 0;
  Jacobian opposite(2, 2);
  opposite << 1, 0, -2, 1e-3;
  Runner<fuller::GradVac> run(fuller::GradVac(), 2);
  for (int k = 0; k < 80; ++k) {
    CHECK(run(step_of(same)) == std::vector<double>{1, 1});
  }
  for (const double weight : run(step_of(opposite))) {
    CHECK(weight < 1e4);
  }
  for (const double target : run.state) {
    CHECK(std::abs(target) <= 1);
  }
}

TEST_CASE("DB-MTL without forgetting makes every log loss's gradient as long as the longest") {
  std::mt19937_64 random(7);
  fuller::DBMTLOptions options;
  options.beta = 0;
  for (const int T : {1, 2, 5, 64}) {
    const Jacobian J = far_apart(T, T + 4, random);
    Step step = step_of(J);
    std::lognormal_distribution<double> loss(0, 2);
    std::generate(step.losses.begin(), step.losses.end(), [&] { return loss(random); });
    Jacobian H = J;
    for (int i = 0; i < T; ++i) {
      H.row(i) /= step.losses[std::size_t(i)] + 1e-8;
    }
    const VectorXd expected = H.rowwise().norm().maxCoeff() * H.rowwise().normalized().colwise().sum().transpose();
    step.loss_scale = 1;
    CHECK((update(J, weights_of(fuller::DBMTL(options), step)) - expected).norm() < 1e-12 * expected.norm());
  }
}

TEST_CASE("DB-MTL forgets lengths by beta / k^sigma, and a task's first length is taken whole") {
  fuller::DBMTLOptions options;
  options.beta = 0.5;
  options.sigma = 1;
  Runner<fuller::DBMTL> run(fuller::DBMTL(options), 2);
  Jacobian J = Jacobian::Identity(2, 2);
  Step step = step_of(J);
  step.losses = {1 - 1e-8, 1 - 1e-8};
  run(step);
  J(0, 0) = 3;  // mean length 3 + (0.5 / 2)(1 - 3) = 2.5
  Step second = step_of(J);
  second.losses = step.losses;
  CHECK(run(second)[1] == Approx(2.5).epsilon(1e-14));
  J(0, 0) = 1;  // 1 + (0.5 / 3)(2.5 - 1) = 1.25
  Step third = step_of(J);
  third.losses = step.losses;
  third.loss_scale = 4;
  for (double& product : third.gram) {
    product *= 16;
  }
  const std::vector<double> weights = run(third);
  CHECK(weights[0] == Approx(1).epsilon(1e-14));
  CHECK(weights[1] == Approx(1.25).epsilon(1e-14));
}

TEST_CASE("FairGrad solves G w = w^(-1/alpha) of gradients in general position, norms 1e8 apart, up to 64 tasks") {
  std::mt19937_64 random(8);
  for (const double alpha : {0.1, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0}) {
    for (int draw = 0; draw < 24; ++draw) {
      const int sizes[] = {1, 2, 3, 4, 8, 64};
      const int T = sizes[draw % 6];
      const Jacobian J =
          draw % 2 == 0 || alpha > 3 ? random_jacobian(T, 2 * T + 3, random, 0.4) : far_apart(T, 2 * T + 3, random);
      fuller::FairGradOptions options;
      options.alpha = alpha;
      options.ridge = 1e-12;
      const Step step = step_of(J);
      const VectorXd w = as_vector(weights_of(fuller::FairGrad(options), step));
      INFO("alpha " << alpha << ", T = " << T << ", draw " << draw);
      REQUIRE(w.minCoeff() > 0);
      const VectorXd gains = step.gram_matrix() * w;
      // In gains' own units: each equation is divided by its terms.
      for (int i = 0; i < T; ++i) {
        const double terms = (step.gram_matrix().row(i).cwiseAbs() * w)(0);
        CHECK(std::abs(gains(i) - std::pow(w(i), -1 / alpha)) < 1e-10 * terms);
      }
    }
  }
}

TEST_CASE("FairGrad and Nash-MTL of one task and two have closed forms") {
  for (const double alpha : {0.3, 1.0, 4.0}) {
    fuller::FairGradOptions options;
    options.alpha = alpha;
    options.ridge = 1e-12;
    for (const double n : {1e-6, 0.5, 1e7}) {
      const std::vector<double> w = weights_of(fuller::FairGrad(options), step_of(Jacobian::Constant(1, 1, n)));
      CHECK(w[0] == Approx(std::pow(n, -2 * alpha / (1 + alpha))).epsilon(1e-10));
    }
  }
  for (const double angle : {0.0, 0.3, 1.5, 2.5, 3.1}) {
    Jacobian J(2, 2);
    J << 3, 0, 5 * std::cos(angle), 5 * std::sin(angle);
    fuller::NashMTLOptions options;
    options.max_norm = 0;
    const std::vector<double> w = weights_of(fuller::NashMTL(options), step_of(J));
    const double common = 1 / std::sqrt(1 + std::cos(angle));
    CHECK(w[0] == Approx(common / 3).epsilon(1e-6));
    CHECK(w[1] == Approx(common / 5).epsilon(1e-6));
    const VectorXd clipped = update(J, weights_of(fuller::NashMTL(), step_of(J)));
    CHECK(clipped.norm() == Approx(1).epsilon(1e-6));
  }
}

TEST_CASE("FairGrad times the number of tasks present, and a loss scale is taken out") {
  std::mt19937_64 random(9);
  const Jacobian J = random_jacobian(3, 8, random);
  fuller::FairGradOptions options;
  options.alpha = 2;
  const std::vector<double> one = weights_of(fuller::FairGrad(options), step_of(J));
  options.sum = fuller::WeightSum::tasks;
  const std::vector<double> tasks = weights_of(fuller::FairGrad(options), step_of(J));
  Step large = step_of(1024 * J);
  large.loss_scale = 1024;
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(tasks[i] == 3 * one[i]);
    CHECK(weights_of(fuller::FairGrad(options), large)[i] == Approx(tasks[i]).epsilon(1e-12));
  }
}

TEST_CASE("FairGrad where gradients can cancel: long weights that cancel, and bounded by the ridge") {
  Jacobian opposite(2, 2);
  opposite << 2, 0, -3, 0;
  fuller::FairGradOptions options;
  options.ridge = 1e-6;
  const std::vector<double> w = weights_of(fuller::FairGrad(options), step_of(opposite));
  CHECK(w[0] * 2 == Approx(1000).epsilon(1e-9));  // b = 1 / (ridge b)
  CHECK(w[1] * 3 == Approx(1000).epsilon(1e-9));
  std::mt19937_64 random(10);
  for (int draw = 0; draw < 40; ++draw) {
    const int T = 3 + draw % 60;  // far more gradients than dimensions
    const Jacobian J = random_jacobian(T, 2, random);
    for (const double alpha : {0.2, 1.0, 3.0}) {
      options.alpha = alpha;
      const VectorXd weights = as_vector(weights_of(fuller::FairGrad(options), step_of(J)));
      CHECK(weights.allFinite());
      CHECK(weights.minCoeff() > 0);
    }
  }
}
