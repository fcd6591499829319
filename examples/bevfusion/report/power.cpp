// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/power.hpp"

#include <algorithm>
#include <cmath>

namespace bevfusion {
namespace {

double normal_below(double z) { return 0.5 * std::erfc(-z / std::sqrt(2.0)); }

/// Share of the noncentral t distribution above a value: of (Z + shift) / S, where S^2 is chi^2 over its degrees of freedom. The
/// integral over S, by Simpson's rule.
double share_above(double value, double freedom, double shift) {
  constexpr int intervals = 800;
  const double high = 1 + 9 / std::sqrt(freedom);
  const double constant = std::log(2.0) + 0.5 * freedom * std::log(0.5 * freedom) - std::lgamma(0.5 * freedom);
  const double width = high / intervals;
  double sum = 0;
  for (int i = 0; i <= intervals; ++i) {
    const double s = std::max(i * width, 1e-300);  // at one degree of freedom the density at 0 is not 0
    const double density = std::exp(constant + (freedom - 1) * std::log(s) - 0.5 * freedom * s * s);
    const double weight = i == 0 || i == intervals ? 1 : i % 2 == 1 ? 4 : 2;
    sum += weight * density * normal_below(shift - value * s);
  }
  return sum * width / 3;
}

/// Student's t that 97.5 % lie below.
double critical_value(double freedom) {
  double low = 1.9;
  double high = 13;
  while (high - low > 1e-9) {
    const double middle = 0.5 * (low + high);
    (share_above(middle, freedom, 0) > 0.025 ? low : high) = middle;
  }
  return high;
}

}  // namespace

double power_of(std::size_t pairs, double effect) {
  const auto count = static_cast<double>(pairs);
  return share_above(critical_value(count - 1), count - 1, std::abs(effect) * std::sqrt(count));
}

std::size_t pairs_that_show(double difference, double deviation, std::size_t most) {
  constexpr double wanted = 0.8;
  if (!std::isfinite(difference) || !std::isfinite(deviation) || difference == 0 || most < 2) {
    return 0;
  }
  if (deviation == 0) {
    return 2;
  }
  const double effect = std::abs(difference) / deviation;
  if (power_of(most, effect) < wanted) {
    return 0;
  }
  std::size_t low = 1;
  std::size_t high = most;
  while (high - low > 1) {
    const std::size_t middle = low + (high - low) / 2;
    (power_of(middle, effect) < wanted ? low : high) = middle;
  }
  return high;
}

}  // namespace bevfusion
