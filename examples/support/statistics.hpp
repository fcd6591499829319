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

namespace statistics_detail {

/// The continued fraction of the incomplete beta function (Lentz's method; Numerical Recipes 6.4).
inline double beta_fraction(double a, double b, double x) {
  constexpr double tiny = 1e-300;
  const auto away_from_zero = [](double value) { return std::abs(value) < tiny ? tiny : value; };
  double c = 1;
  double d = 1 / away_from_zero(1 - (a + b) * x / (a + 1));
  double fraction = d;
  for (int m = 1; m <= 500; ++m) {
    for (const double term :
         {m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))}) {
      d = 1 / away_from_zero(1 + term * d);
      c = away_from_zero(1 + term / c);
      fraction *= d * c;
    }
    if (std::abs(d * c - 1) < 1e-15) {
      break;
    }
  }
  return fraction;
}

}  // namespace statistics_detail

/// How likely |Student's t| is at least this large by chance: both tails, `freedom` > 0 degrees of freedom.
inline double t_probability(double t, double freedom) {
  if (std::isnan(t)) {
    return t;
  }
  const double x = freedom / (freedom + t * t);  // the regularised incomplete beta function I_x(freedom / 2, 1 / 2)
  const double a = freedom / 2;
  const double b = 0.5;
  if (x <= 0 || x >= 1) {
    return x <= 0 ? 0 : 1;
  }
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
  return x < (a + 1) / (a + b + 2) ? front * statistics_detail::beta_fraction(a, b, x) / a
                                   : 1 - front * statistics_detail::beta_fraction(b, a, 1 - x) / b;
}

/// How likely differences as far from 0 as these are by chance, where pairs differ in nothing but what is compared: the paired t
/// test. 1 where all are 0; NaN for fewer than two.
inline double paired_probability(const std::vector<double>& differences) {
  if (differences.size() < 2) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  const double error = deviation(differences) / std::sqrt(static_cast<double>(differences.size()));
  const double centre = mean(differences);
  return centre == 0 ? 1 : t_probability(error > 0 ? centre / error : INFINITY, static_cast<double>(differences.size() - 1));
}

/// Holm's correction: what each probability is worth as one of so many, so that the chance of any false finding stays below what
/// is compared with. NaN is left as it is and not counted.
inline std::vector<double> holm(const std::vector<double>& probabilities) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    if (!std::isnan(probabilities[i])) {
      order.push_back(i);
    }
  }
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return probabilities[a] < probabilities[b]; });
  std::vector<double> corrected = probabilities;
  double least = 0;
  for (std::size_t k = 0; k < order.size(); ++k) {
    least = std::max(least, std::min(1.0, static_cast<double>(order.size() - k) * probabilities[order[k]]));
    corrected[order[k]] = least;
  }
  return corrected;
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
