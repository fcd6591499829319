// SPDX-License-Identifier: Apache-2.0
// The quadratic programme by itself: constraints that depend on each other, that all but cancel, that are all but the same.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <random>
#include <vector>

#include <Eigen/Dense>

#include <fuller/core/lanes.hpp>
#include <fuller/core/nonnegative_qp.hpp>

#include "support/catch.hpp"

using Eigen::MatrixXd;
using Eigen::VectorXd;
using fuller::detail::NonnegativeQp;

namespace {

struct Solution {
  bool found;
  VectorXd x;
  VectorXd y;
};

Solution solve(const MatrixXd& A, const VectorXd& q) {
  const auto n = static_cast<int>(q.size());
  Solution solution{false, VectorXd::Constant(n, std::nan("")), VectorXd::Constant(n, std::nan(""))};
  std::vector<double> scratch(std::size_t(NonnegativeQp::scratch_size(n)));
  solution.found =
      NonnegativeQp::solve(fuller::Serial{}, n, A.data(), q.data(), solution.x.data(), solution.y.data(), scratch.data());
  return solution;
}

/// The d nearest to 0 with U d >= b, by trying every set of independent constraints: one of them holds it up, if there is any.
/// None whose multipliers are above 1e4 of the largest |b_i|, which the programme calls out of reach.
std::optional<VectorXd> nearest(const MatrixXd& U, const VectorXd& b) {
  const auto n = int(b.size());
  for (int set = 0; set < 1 << n; ++set) {
    std::vector<int> active;
    for (int i = 0; i < n; ++i) {
      if ((set >> i & 1) != 0) {
        active.push_back(i);
      }
    }
    VectorXd d = VectorXd::Zero(U.cols());
    if (!active.empty()) {
      const MatrixXd rows = U(active, Eigen::all);
      const Eigen::FullPivLU<MatrixXd> gram(rows * rows.transpose());
      if (gram.rcond() < 1e-9) {
        continue;
      }
      const VectorXd x = gram.solve(VectorXd(b(active)));
      if (x.minCoeff() < 0 || x.maxCoeff() > 1e4 * b.cwiseAbs().maxCoeff()) {
        continue;
      }
      d = rows.transpose() * x;
    }
    if ((U * d - b).minCoeff() > -1e-10) {
      return d;
    }
  }
  return std::nullopt;
}

/// Unit vectors in rows, of any direction.
MatrixXd drawn(int rows, int dimensions, std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  const MatrixXd U = MatrixXd::NullaryExpr(rows, dimensions, [&] { return normal(random); });
  return U.rowwise().normalized();
}

}  // namespace

TEST_CASE("constraints that depend on each other: the nearest point, or that there is none, as every set tried says") {
  std::mt19937_64 random(21);
  std::normal_distribution<double> normal;
  int none = 0;
  for (int draw = 0; draw < 1500; ++draw) {
    const int n = 2 + draw % 5;
    const int dimensions = 1 + draw % 3;
    const MatrixXd U = drawn(n, dimensions, random);
    const VectorXd b = VectorXd::NullaryExpr(n, [&] { return normal(random) + 0.3; });
    const Solution solution = solve(U * U.transpose(), -b);
    const std::optional<VectorXd> d = nearest(U, b);
    INFO("draw " << draw << ": b = " << b.transpose() << ", U =\n" << U);
    REQUIRE(solution.found == d.has_value());
    // Also where there is none, what has a multiplier is met.
    CHECK(solution.x.cwiseProduct(solution.y).cwiseAbs().maxCoeff() < 1e-9 * (1 + solution.x.squaredNorm()));
    none += d ? 0 : 1;
    if (d) {
      CHECK((U.transpose() * solution.x - *d).norm() < 1e-9 * (1 + d->norm()));
      CHECK((solution.y - (U * *d - b)).norm() < 1e-9 * (1 + d->norm()));
    }
  }
  CHECK(none > 100);
}

TEST_CASE("what the programme finds solves its active constraints to rounding, however close they are to each other") {
  // Backward stable: a residual of a few n^2 rounding errors of |A| |x|, where one that goes with the condition of A, up to 1e9
  // here, would show.
  std::mt19937_64 random(22);
  std::normal_distribution<double> normal;
  for (int draw = 0; draw < 600; ++draw) {
    const int n = 2 + draw % 6;
    const double apart = std::pow(10.0, -1 - draw % 5);
    const MatrixXd common = drawn(1, n + 1, random);
    const MatrixXd U = (apart * drawn(n, n + 1, random) + common.replicate(n, 1)).rowwise().normalized();
    const VectorXd x = VectorXd::NullaryExpr(n, [&] { return std::max(0.0, 0.5 + normal(random)); });
    const MatrixXd A = U * U.transpose();
    const VectorXd q = -A * x;
    const Solution solution = solve(A, q);
    INFO("draw " << draw << ", n = " << n << ", " << apart << " apart, x = " << solution.x.transpose());
    REQUIRE(solution.found);
    // What is within 1e-12 of 0 is 0, in the unit of q.
    const double size = q.cwiseAbs().maxCoeff();
    const double rounding = std::numeric_limits<double>::epsilon() * n * n * solution.x.sum();
    for (int i = 0; i < n; ++i) {
      const double left = A.row(i).dot(solution.x) + q(i);
      CHECK(left >= -rounding - 1e-12 * n * size);
      CHECK((solution.x(i) == 0 || left <= rounding + 1e-12 * n * size));
      CHECK(std::abs(solution.y(i) - left) <= rounding);
    }
  }
}

TEST_CASE("of constraints that are the same but for rounding the first is active") {
  const double noise = 5e-14;
  for (const int n : {2, 3, 5}) {
    for (int first = 0; first < n; ++first) {  // those before it are met
      VectorXd q = VectorXd::Constant(n, -1);
      q.head(first).setConstant(0.5);
      for (int worse = first; worse < n; ++worse) {
        q(worse) -= noise;
        MatrixXd A = MatrixXd::Ones(n, n);
        A.topRows(first).setZero();
        A.leftCols(first).setZero();
        A.diagonal().setOnes();
        const Solution solution = solve(A, q);
        INFO("n = " << n << ", q = " << q.transpose());
        CHECK(solution.found);
        CHECK((solution.x - VectorXd::Unit(n, first)).cwiseAbs().maxCoeff() < 1e-12);
        CHECK((solution.x.array() != 0).count() == 1);
        q(worse) = -1;
      }
    }
  }
}

TEST_CASE("constraints that all but contradict each other are met by 1e4 of them, and no more") {
  // Two unit vectors of cosine -c: x_1 = x_2 = 1 / (1 - c), in any unit.
  for (const double size : {1.0, 1e-6, 1e9}) {
    for (const double longest : {0.9e4, 0.999e4, 1.001e4, 1.1e4}) {
      const double c = 1 - 1 / longest;
      const MatrixXd A = (MatrixXd(2, 2) << 1, -c, -c, 1).finished();
      const Solution solution = solve(A, VectorXd::Constant(2, -size));
      INFO(longest << " of " << size);
      CHECK(solution.found == (longest < 1e4));
      CHECK((solution.x / size - VectorXd::Constant(2, longest)).norm() < 1e-6);
    }
  }
}

TEST_CASE("a multiplier that is 0 by mathematics is 0 to the last bit, whichever constraint was the first to be active") {
  // u_1 = (a, a, h) with b_1 = 2 a > 1 enters first; e_1 and e_2 with 1 push it out, to d = (1, 1, 0), which meets it to the last
  // bit or misses it by one.
  std::mt19937_64 random(23);
  std::uniform_real_distribution<double> between(0.55, 0.7);
  std::uniform_real_distribution<double> exponent(-9, 9);
  for (int draw = 0; draw < 300; ++draw) {
    const double a = between(random);
    const double size = std::pow(10.0, exponent(random));
    const MatrixXd rows = (MatrixXd(4, 3) << a, a, std::sqrt(1 - 2 * a * a), 1, 0, 0, 0, 1, 0, 0, 0, -1).finished();
    const VectorXd bounds = (VectorXd(4) << 2 * a, 1, 1, -2).finished();  // the last one is met from the first to the end
    const VectorXd multipliers = (VectorXd(4) << 0, 1, 1, 0).finished();
    const std::vector<int> order = {draw % 4, (draw + 1) % 4, (draw + 2) % 4, (draw + 3) % 4};
    const MatrixXd U = rows(order, Eigen::all);
    const VectorXd b = bounds(order);
    const VectorXd expected = multipliers(order);
    const Solution solution = solve(U * U.transpose(), -size * b);
    INFO("draw " << draw << ", a = " << a << ", size " << size << ", x = " << solution.x.transpose());
    REQUIRE(solution.found);
    CHECK((solution.x.array() == 0).matrix() == (expected.array() == 0).matrix());
    CHECK((solution.x / size - expected).norm() < 1e-12);
  }
}
