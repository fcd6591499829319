// SPDX-License-Identifier: Apache-2.0
// IMTL-G of gradients that are nearly parallel or nearly opposite, against long double on the gradients themselves: a QR
// factorisation of the unit gradients has the angle where their Gram matrix has its square.
#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <Eigen/Dense>

#include <fuller/calibrators/imtl_g.hpp>

#include "support/catch.hpp"
#include "support/steps.hpp"

using fuller::IMTL_G;
using fuller::testing::Jacobian;
using fuller::testing::Runner;
using fuller::testing::step_of;

namespace {

using WideMatrix = Eigen::Matrix<long double, Eigen::Dynamic, Eigen::Dynamic>;
using WideVector = Eigen::Matrix<long double, Eigen::Dynamic, 1>;

struct Oracle {
  /// (U U^T)^-1 1, the weights of unit gradients u_i before they are normalised, from U^T P = Q R: R^T R P^T beta = 1.
  WideVector beta;
  /// The square of the distance of the last u_i to the span of the others, the farthest taken first.
  double narrowest;
};

Oracle oracle(const Jacobian& J) {
  const Eigen::Index T = J.rows();
  const WideMatrix wide = J.cast<long double>();
  const WideVector n = wide.rowwise().norm();
  const WideMatrix transposed = (n.cwiseInverse().asDiagonal() * wide).transpose();
  const Eigen::ColPivHouseholderQR<WideMatrix> qr(transposed);
  const WideMatrix R = qr.matrixQR().topRows(T).triangularView<Eigen::Upper>();
  const WideVector y = R.transpose().triangularView<Eigen::Lower>().solve(WideVector::Ones(T));
  return {qr.colsPermutation() * R.triangularView<Eigen::Upper>().solve(y).eval(),
          static_cast<double>(R.diagonal().cwiseAbs2().minCoeff())};
}

/// The values over the largest of their magnitudes.
Eigen::VectorXd normalised(const Eigen::VectorXd& values) { return values / values.cwiseAbs().maxCoeff(); }

/// The first gradient points against the others, which point one way, all to within about `angle`; lengths from 1/4 to 4.
Jacobian nearly_opposite(int T, double angle, std::mt19937_64& random) {
  std::uniform_real_distribution<double> offset(-1.5, 1.5);
  std::uniform_real_distribution<double> exponent(-2, 2);
  Jacobian J(T, T + 1);
  for (int i = 0; i < T; ++i) {
    J(i, 0) = i == 0 ? -1 : 1;
    for (int p = 1; p <= T; ++p) {
      J(i, p) = angle * offset(random);
    }
    J.row(i) *= std::exp2(exponent(random));
  }
  return J;
}

}  // namespace

TEST_CASE("IMTL-G of three nearly opposite gradients: a case to 60 digits") {
  Jacobian J(3, 3);
  J << -1, 1e-4, 1.5e-4, 1, 0, -1e-4, 1, -1.5e-4, -1.5e-4;
  const std::vector<double> weights = Runner<IMTL_G>(IMTL_G(), 3)(step_of(J));
  CHECK(weights[0] == Approx(.4999999996).margin(1e-7));
  CHECK(weights[1] == Approx(.150000000809).margin(1e-7));
  CHECK(weights[2] == Approx(.349999999597).margin(1e-7));
  CHECK((J * fuller::testing::update(J, weights)).minCoeff() > 0);
}

TEST_CASE("IMTL-G of nearly opposite gradients is as right as a Gram matrix of doubles allows, and never uphill") {
  // Cosines rounded to 1e-16 tell angle^2 to 1e-16 / angle^2 of itself. Some draws are many times narrower than the angle in one
  // direction: what those lose bounds the worst, what most lose the median. Where that leaves 1e-14, cosines in doubles tell no
  // more; the few such draws are left out.
  for (const int T : {2, 3, 4, 8}) {
    for (const double angle : {1e-2, 1e-3, 1e-4, 1e-5, 1e-6}) {
      std::mt19937_64 random(17);
      std::vector<double> errors;
      int uphill = 0;
      for (int draw = 0; draw < 200; ++draw) {
        const Jacobian J = nearly_opposite(T, angle, random);
        const Oracle expected = oracle(J);
        if (expected.narrowest < 1e-14 * T) {
          continue;
        }
        const std::vector<double> weights = Runner<IMTL_G>(IMTL_G(), T)(step_of(J));
        // Shares of the step, w_i n_i, up to a positive factor: neither lengths nor the policy for Z <= 0 are the matter here.
        const Eigen::VectorXd shares = Eigen::Map<const Eigen::VectorXd>(weights.data(), T).cwiseProduct(J.rowwise().norm());
        errors.push_back((normalised(shares) - normalised(expected.beta.cast<double>())).cwiseAbs().maxCoeff());
        const WideMatrix wide = J.cast<long double>();
        WideVector step = WideVector::Zero(J.cols());
        for (int i = 0; i < T; ++i) {
          step += static_cast<long double>(weights[std::size_t(i)]) * wide.row(i).transpose();
        }
        uphill += (wide * step).minCoeff() > 0 ? 0 : 1;
      }
      std::sort(errors.begin(), errors.end());
      REQUIRE(errors.size() > 170);
      const double median = errors[errors.size() / 2];
      INFO("T = " << T << ", angle " << angle << ", median " << median << ", worst " << errors.back());
      CHECK(median < (T == 2 ? 1e-14 : 2e-15 / (angle * angle)));
      CHECK(errors.back() < (T == 2 ? 1e-14 : 2e-13 / (angle * angle)));
      CHECK(uphill == 0);
    }
  }
}
