// SPDX-License-Identifier: Apache-2.0
#include <random>
#include <vector>

#include <Eigen/Dense>

#include <fuller/core/lanes.hpp>
#include <fuller/core/linear_algebra.hpp>

#include "support/catch.hpp"

namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Matrix random_positive_definite(int n, std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  const Matrix J = Matrix::NullaryExpr(n, n + 5, [&] { return normal(random); });
  return J * J.transpose();
}

}  // namespace

TEST_CASE("the Cholesky solver agrees with Eigen's LDLT") {
  std::mt19937_64 random(1);
  for (const int n : {1, 2, 3, 8, 20, 64}) {
    const Matrix A = random_positive_definite(n, random);
    const Eigen::VectorXd b = Eigen::VectorXd::LinSpaced(n, -1, 2);
    Matrix spoilt = A;
    Eigen::VectorXd x = b;
    REQUIRE(fuller::detail::solve_positive_definite(fuller::Serial{}, n, spoilt.data(), x.data(), 0));
    const Eigen::VectorXd expected = Eigen::MatrixXd(A).ldlt().solve(b);
    INFO("n = " << n);
    CHECK((x - expected).norm() <= 1e-10 * expected.norm());
    CHECK((A * x - b).norm() <= 1e-11 * A.norm() * x.norm());
  }
}

TEST_CASE("the Cholesky solver reads the upper triangle only") {
  std::mt19937_64 random(2);
  const Matrix A = random_positive_definite(5, random);
  Matrix upper = A.triangularView<Eigen::Upper>();
  upper.triangularView<Eigen::StrictlyLower>().setConstant(1e30);
  Matrix full = A;
  Eigen::VectorXd x = Eigen::VectorXd::Ones(5);
  Eigen::VectorXd y = x;
  REQUIRE(fuller::detail::solve_positive_definite(fuller::Serial{}, 5, full.data(), x.data(), 0));
  REQUIRE(fuller::detail::solve_positive_definite(fuller::Serial{}, 5, upper.data(), y.data(), 0));
  CHECK(x == y);
}

TEST_CASE("the Cholesky solver refuses singular, indefinite and NaN matrices") {
  const auto solves = [](Matrix A) {
    Eigen::VectorXd b = Eigen::VectorXd::Ones(A.rows());
    return fuller::detail::solve_positive_definite(fuller::Serial{}, static_cast<int>(A.rows()), A.data(), b.data(), 1e-13);
  };
  Matrix twin(2, 2);
  twin << 1, 1, 1, 1;
  Matrix saddle(2, 2);
  saddle << 1, 2, 2, 1;
  Matrix nan(2, 2);
  nan << 1, NAN, NAN, 1;
  Matrix last(3, 3);  // rank 2: the third row is the sum of the others
  last << 1, 0, 1, 0, 1, 1, 1, 1, 2;
  CHECK_FALSE(solves(twin));
  CHECK_FALSE(solves(saddle));
  CHECK_FALSE(solves(nan));
  CHECK_FALSE(solves(last));
  CHECK(solves(Matrix::Identity(3, 3)));
}

TEST_CASE("the Cholesky solver takes the largest pivot first: dependent rows leave a pivot of a few rounding errors") {
  // Unit vectors of a plane, two of them at a small angle: without exchanges the third pivot is 1e-16 / angle.
  for (const double angle : {1e-2, 1e-4, 1e-6}) {
    Matrix U(3, 2);
    U << 1, 0, std::cos(angle), std::sin(angle), std::cos(1.0), std::sin(1.0);
    Matrix C = U * U.transpose();
    C.diagonal().setOnes();
    Eigen::VectorXd x = Eigen::VectorXd::Ones(3);
    INFO("angle " << angle);
    CHECK_FALSE(fuller::detail::solve_positive_definite(fuller::Serial{}, 3, C.data(), x.data(), 6e-15));
  }
}

TEST_CASE("the Cholesky solver finds that three vectors of a plane depend on each other, whichever two are close") {
  std::mt19937_64 random(5);
  std::uniform_real_distribution<double> exponent(-6, -3);
  std::uniform_real_distribution<double> angle(0.3, 1.2);
  for (int draw = 0; draw < 300; ++draw) {
    const double close = std::pow(10, exponent(random));
    const double other = angle(random);
    Matrix U(3, 2);
    U << 1, 0, std::cos(close), std::sin(close), std::cos(other), std::sin(other);
    U.row(draw % 3).swap(U.row(draw / 3 % 3));
    Matrix C = U * U.transpose();
    C.diagonal().setOnes();
    Eigen::VectorXd x = Eigen::VectorXd::Ones(3);
    INFO("draw " << draw << ", angles " << close << " and " << other);
    CHECK_FALSE(fuller::detail::solve_positive_definite(fuller::Serial{}, 3, C.data(), x.data(), 6e-15));
  }
}

TEST_CASE("the Cholesky solver's quadratic form is b^T A^-1 b") {
  std::mt19937_64 random(3);
  for (const int n : {1, 2, 5, 20}) {
    const Matrix A = random_positive_definite(n, random);
    const Eigen::VectorXd b = Eigen::VectorXd::LinSpaced(n, -1, 2);
    Matrix spoilt = A;
    Eigen::VectorXd x = b;
    double form = 0;
    REQUIRE(fuller::detail::solve_positive_definite(fuller::Serial{}, n, spoilt.data(), x.data(), 0, &form));
    CHECK(form == Approx(b.dot(Eigen::MatrixXd(A).ldlt().solve(b))).epsilon(1e-10));
  }
}
