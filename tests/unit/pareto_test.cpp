// SPDX-License-Identifier: Apache-2.0
// MMPareto's law on two gradients: by hand, against the authors' programme on the vectors themselves, and by what it promises.
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include <fuller/gates/pareto.hpp>

#include "support/catch.hpp"

namespace {

using Vector = std::vector<double>;

long double wide(double a, double b) { return static_cast<long double>(a) * static_cast<long double>(b); }

double dot(const Vector& a, const Vector& b) {
  return static_cast<double>(std::inner_product(a.begin(), a.end(), b.begin(), 0.0L, std::plus<>(), wide));
}

Vector combined(double x, const Vector& a, double y, const Vector& b) {
  Vector sum(a.size());
  for (std::size_t k = 0; k < a.size(); ++k) {
    sum[k] = x * a[k] + y * b[k];
  }
  return sum;
}

/// The authors' train.py for one layer, with MinNormSolver's two-vector case written out, clip included; in long double, since a
/// weight is 1 less the other there.
Vector by_the_authors(const Vector& fused, const Vector& unimodal, long double gamma) {
  const auto product = [](const Vector& a, const Vector& b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0L, std::plus<>(), wide);
  };
  const long double v1v1 = product(fused, fused);
  const long double v1v2 = product(fused, unimodal);
  const long double v2v2 = product(unimodal, unimodal);
  long double weights[2] = {0.5L, 0.5L};
  if (!(v1v2 >= 0)) {
    const long double w = v1v2 >= v1v1 ? 0.999L : v1v2 >= v2v2 ? 0.001L : (v2v2 - v1v2) / (v1v1 + v2v2 - 2 * v1v2);
    weights[0] = w;
    weights[1] = 1 - w;
  }
  const long double made =
      4 * (weights[0] * weights[0] * v1v1 + 2 * weights[0] * weights[1] * v1v2 + weights[1] * weights[1] * v2v2);
  const long double diff = std::sqrt((v1v1 + 2 * v1v2 + v2v2) / made);
  const long double stretch = 2 * gamma * (diff > 1 ? diff : 1);
  return combined(static_cast<double>(stretch * weights[0]), fused, static_cast<double>(stretch * weights[1]), unimodal);
}

Vector by_law(const Vector& fused, const Vector& unimodal, double gamma = 1.5) {
  const auto scales = fuller::Pareto({gamma})(dot(fused, fused), dot(fused, unimodal), dot(unimodal, unimodal));
  return combined(scales.fused, fused, scales.unimodal, unimodal);
}

}  // namespace

TEST_CASE("Pareto by hand") {
  // They agree, or are at right angles: the sum, times gamma.
  CHECK(by_law({1, 0}, {2, 1}) == Vector{4.5, 1.5});
  CHECK(by_law({1, 0}, {0, 3}, 1) == Vector{1, 3});
  // In conflict: of (1, 0) and (-1, 1) the shortest of the hull is 3/5 and 2/5 of them, (1/5, 2/5); twice it is 2 / sqrt(5) long,
  // the sum (0, 1) is longer.
  const auto scales = fuller::Pareto({1})(1, -1, 2);
  CHECK(scales.fused == Approx(6.0 / 5 * std::sqrt(5.0) / 2));
  CHECK(scales.unimodal == Approx(4.0 / 5 * std::sqrt(5.0) / 2));
  // Two of one length: the shortest of the hull is half their sum, and nothing is stretched.
  const auto even = fuller::Pareto({1})(1, -0.5, 1);
  CHECK(even.fused == Approx(1));
  CHECK(even.unimodal == Approx(1));
}

TEST_CASE("Pareto is what the authors' program makes of the two gradients, and harms neither loss") {
  std::mt19937_64 random(4);
  std::normal_distribution<double> normal;
  int conflicts = 0;
  for (int draw = 0; draw < 400; ++draw) {
    Vector fused(6);
    Vector unimodal(6);
    const double length = std::pow(10.0, 3 * normal(random));
    for (std::size_t k = 0; k < fused.size(); ++k) {
      fused[k] = normal(random);
      unimodal[k] = length * (normal(random) - 0.5 * fused[k]);
    }
    conflicts += dot(fused, unimodal) < 0 ? 1 : 0;
    const Vector right = by_the_authors(fused, unimodal, 1.5);
    const Vector found = by_law(fused, unimodal);
    const Vector difference = combined(1, found, -1, right);
    CHECK(std::sqrt(dot(difference, difference)) <= 1e-9 * std::sqrt(dot(right, right)));
    const double size = std::sqrt(dot(found, found));
    const Vector sum = combined(1, fused, 1, unimodal);
    CHECK(size >= (1 - 1e-9) * 1.5 * std::sqrt(dot(sum, sum)));
    CHECK(dot(found, fused) >= -1e-9 * size * std::sqrt(dot(fused, fused)));
    CHECK(dot(found, unimodal) >= -1e-9 * size * std::sqrt(dot(unimodal, unimodal)));
  }
  CHECK(conflicts > 100);
  CHECK(conflicts < 400);
}

TEST_CASE("Pareto is blind to a common factor, and leaves alone what cannot be compared") {
  const fuller::Pareto law;
  const auto one = law(2, -1, 3);
  for (const double factor : {1e-200, 1e-8, 1e200}) {
    const auto scaled = law(2 * factor, -1 * factor, 3 * factor);
    CHECK(scaled.fused == Approx(one.fused).epsilon(1e-12));
    CHECK(scaled.unimodal == Approx(one.unimodal).epsilon(1e-12));
  }
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  for (const auto& seen : {std::vector<double>{0, 0, 1}, {1, 0, 0}, {nan, nan, 1}, {1, nan, nan}, {nan * 0, 1, 1}}) {
    const auto scales = law(seen[0], seen[1], seen[2]);
    CHECK(scales.fused == 1);
    CHECK(scales.unimodal == 1);
  }
  // Opposite gradients have no direction for both; a product of 0 but for rounding is no conflict.
  for (const double product : {-2.0, 1e-14, -1e-14}) {
    const auto scales = law(1, product, 4);
    CHECK(scales.fused == 1.5);
    CHECK(scales.unimodal == 1.5);
  }
  std::string said;
  try {
    fuller::Pareto({0}).expect_sense();
  } catch (const fuller::Error& error) {
    said = error.what();
  }
  CHECK(said.find("gamma is 0") != std::string::npos);
  CHECK(said.find("(0, 100]") != std::string::npos);
}
