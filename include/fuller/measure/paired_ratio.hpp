// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/standard.hpp>
#if FULLER_STANDARD >= 201703L

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include <fuller/core/error.hpp>

namespace fuller {
inline namespace v0_1 {

/// A ratio with its confidence interval, low <= ratio <= high.
struct RatioInterval {
  double ratio = 0;
  double low = 0;
  double high = 0;
};

namespace detail {

/// How many of n sorted values to leave out at each end so that the rest covers the median with probability >= confidence; -1
/// where even all of them do not.
///
/// The median lies below the (k + 1)-th smallest of n independent values with probability P(B <= k), B ~ Binomial(n, 1/2),
/// whatever their distribution: the largest k with 2 P(B <= k) <= 1 - confidence.
inline int values_outside(int n, double confidence) {
  double term = std::pow(0.5, n);  // P(B = 0); exact down to n = 1074, where it is long negligible
  double below = 0;
  int outside = -1;
  for (int k = 0; k < n; ++k) {
    below += term;
    if (2 * below > 1 - confidence) {
      break;
    }
    outside = k;
    term *= static_cast<double>(n - k) / (k + 1);
  }
  return outside;
}

/// The fewest values of which an interval covers the median with this probability: the least n with 2 P(B = 0) <= 1 - confidence.
inline int fewest_values(double confidence) {
  int n = 1;
  while (values_outside(n, confidence) < 0) {
    ++n;
  }
  return n;
}

}  // namespace detail

/// The median of the values; where their number is even, the mean of the two in the middle.
/// @throws Error for an empty list
inline double median(std::vector<double> values) {
  if (values.empty()) {
    detail::fail("there is no median of no values");
  }
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return values.size() % 2 == 1 ? *middle : (*middle + *std::max_element(values.begin(), middle)) / 2;
}

/// The median of values with an interval by the sign test: two order statistics of the sample.
///
/// Assumes only that the values are independent, and no distribution; draws no random numbers. 95 % needs at least six values.
/// @param confidence  in (0, 1); the interval covers the median of the distribution with at least this probability
/// @throws Error for a confidence outside (0, 1), a value that is not finite, or too few values for the confidence
inline RatioInterval median_interval(std::vector<double> values, double confidence = 0.95) {
  if (!(confidence > 0 && confidence < 1)) {
    detail::fail("a confidence of ", confidence, " is not between 0 and 1");
  }
  for (const double value : values) {
    if (!std::isfinite(value)) {
      detail::fail("a measured ratio is ", value, ": the clock saw a step take no time; measure several steps as one");
    }
  }
  const int outside = detail::values_outside(static_cast<int>(std::min<std::size_t>(values.size(), 1000)), confidence);
  if (outside < 0) {
    detail::fail(values.size(), " values are too few for an interval of confidence ", confidence, ", which needs ",
                 detail::fewest_values(confidence));
  }
  RatioInterval interval;
  interval.ratio = median(values);
  std::sort(values.begin(), values.end());
  // Beyond a thousand values the share left out at each end, which tends to a half, is kept: wider than need be.
  const std::size_t from =
      values.size() <= 1000 ? static_cast<std::size_t>(outside) : values.size() * static_cast<std::size_t>(outside) / 1000;
  interval.low = values[from];
  interval.high = values[values.size() - 1 - from];
  return interval;
}

/// median_interval() of numerators[k] / denominators[k], of which each pair was measured one right after the other, so that what
/// disturbs both cancels.
/// @throws Error as median_interval(), and for lists of different lengths
inline RatioInterval paired_ratio(const std::vector<double>& numerators, const std::vector<double>& denominators,
                                  double confidence = 0.95) {
  if (numerators.size() != denominators.size()) {
    detail::fail("pairs of ", numerators.size(), " and ", denominators.size(), " times");
  }
  std::vector<double> ratios(numerators.size());
  std::transform(numerators.begin(), numerators.end(), denominators.begin(), ratios.begin(),
                 [](double above, double below) { return above / below; });
  return median_interval(std::move(ratios), confidence);
}

}  // namespace v0_1
}  // namespace fuller

#endif  // FULLER_STANDARD
