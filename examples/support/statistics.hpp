// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace example {

inline double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) {
    sum += value;
  }
  return values.empty() ? std::numeric_limits<double>::quiet_NaN() : sum / static_cast<double>(values.size());
}

/// Standard deviation of a sample (divided by n - 1); 0 for fewer than two values.
inline double deviation(const std::vector<double>& values) {
  if (values.size() < 2) {
    return 0;
  }
  const double centre = mean(values);
  double sum = 0;
  for (const double value : values) {
    sum += (value - centre) * (value - centre);
  }
  return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

/// Student's t that 97.5 % lie below; NaN for no degree of freedom, the normal's beyond 30.
inline double t_quantile(std::size_t freedom) {
  constexpr std::array<double, 30> t = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
                                        2.201,  2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
                                        2.080,  2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042};
  if (freedom == 0) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  return freedom <= t.size() ? t[freedom - 1] : 1.96;
}

/// Half the width of the 95 % confidence interval of the mean: Student's t for n - 1 degrees of freedom times deviation / sqrt n.
/// NaN for fewer than two values, which say nothing about their spread.
inline double interval(const std::vector<double>& values) {
  if (values.size() < 2) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  return t_quantile(values.size() - 1) * deviation(values) / std::sqrt(static_cast<double>(values.size()));
}

inline double median(std::vector<double> values) {
  if (values.empty()) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

}  // namespace example
