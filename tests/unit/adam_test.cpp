// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <vector>

#include <fuller/core/adam.hpp>

#include "support/catch.hpp"

using fuller::detail::Adam;

TEST_CASE("Adam's first step is the learning rate against the gradient's sign, but for epsilon") {
  for (const double gradient : {3.0, -0.02, 1e-8, -1e-8}) {
    std::vector<double> moments(3, 0.0);
    // first / (1 - b_1) = g and second / (1 - b_2) = g^2.
    const double expected = -0.1 * gradient / (std::fabs(gradient) + 1e-8);  // half of it where |g| is epsilon
    CHECK(Adam{0.1}.step(gradient, moments.data(), 1) == Approx(expected).epsilon(1e-12));
    CHECK(moments[0] == Approx(0.1 * gradient).epsilon(1e-14));
    CHECK(moments[1] == Approx(0.001 * gradient * gradient).epsilon(1e-14));
    CHECK(moments[2] == 1);
  }
}

TEST_CASE("Adam's moments after three steps, by their sums, each number by its own count") {
  // m_3 = 0.1 (0.81 g_1 + 0.9 g_2 + g_3), v_3 = 0.001 (0.998001 g_1^2 + 0.999 g_2^2 + g_3^2).
  const double g[] = {2, -5, 0.5};
  const int stride = 2;
  std::vector<double> moments(6, 0.0);
  double step = 0;
  for (const double gradient : g) {
    step = Adam{0.3}.step(gradient, moments.data() + 1, stride);
  }
  const double mean = 0.1 * (0.81 * 2 + 0.9 * -5 + 0.5) / (1 - 0.729);
  const double square = 0.001 * (0.998001 * 4 + 0.999 * 25 + 0.25) / (1 - 0.997002999);
  CHECK(step == Approx(-0.3 * mean / (std::sqrt(square) + 1e-8)).epsilon(1e-12));
  CHECK(moments[5] == 3);
  CHECK((moments[0] == 0 && moments[2] == 0 && moments[4] == 0));  // the other number's
}

TEST_CASE("a gradient beyond 1e150 counts as that, of either sign, and leaves a state that is taken") {
  for (const double sign : {-1.0, 1.0}) {
    std::vector<double> long_one(3, 0.0);
    std::vector<double> longest(3, 0.0);
    std::vector<double> shorter(3, 0.0);
    CHECK(Adam{0.1}.step(sign * 1e300, long_one.data(), 1) == Adam{0.1}.step(sign * 1e150, longest.data(), 1));
    CHECK(long_one == longest);
    Adam{0.1}.step(sign * 0.9e150, shorter.data(), 1);
    CHECK(shorter[0] == Approx(0.9 * longest[0]).epsilon(1e-12));
    CHECK(Adam::fits(longest.data(), 1));
    for (int k = 0; k < 40000; ++k) {
      Adam{0.1}.step(sign * 1e300, longest.data(), 1);
    }
    CHECK(Adam::fits(longest.data(), 1));
  }
}

TEST_CASE("the gradients that leave the longest first moment beside the second leave a state that is taken") {
  // By Cauchy and Schwarz the k-th last one is in proportion to (b_1 / b_2)^k.
  std::vector<double> moments(3, 0.0);
  for (int k = 200; k >= 0; --k) {
    Adam{0.1}.step(std::pow(0.9 / 0.999, k), moments.data(), 1);
  }
  const double bound = 0.1 / std::sqrt((1 - 0.81 / 0.999) * 0.001);
  CHECK(moments[0] / std::sqrt(moments[1]) == Approx(bound).epsilon(1e-10));
  CHECK(bound == Approx(7.27).epsilon(1e-3));
  CHECK(Adam::fits(moments.data(), 1));
}
