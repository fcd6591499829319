// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace bevfusion {

/// Piecewise linear function through (xs[i], ys[i]) at x; `left` below the first x, `right` above the last.
///
/// xs ascends and is not empty; where an x stands more than once, the last of them counts. This is the rule of `numpy.interp`, on
/// which nuScenes' figures depend wherever confidences tie.
inline double interpolate(double x, const std::vector<double>& xs, const std::vector<double>& ys, double left, double right) {
  if (x < xs.front()) {
    return left;
  }
  if (x > xs.back()) {
    return right;
  }
  const auto above = static_cast<std::size_t>(std::upper_bound(xs.begin(), xs.end(), x) - xs.begin());
  const std::size_t j = above - 1;
  if (above == xs.size() || xs[j] == x) {
    return ys[j];
  }
  const double slope = (ys[above] - ys[j]) / (xs[above] - xs[j]);
  const double from_left = slope * (x - xs[j]) + ys[j];
  if (!std::isnan(from_left)) {
    return from_left;
  }
  // An infinite end: come from the other side; between two equal infinities there is no slope at all.
  const double from_right = slope * (x - xs[above]) + ys[above];
  return std::isnan(from_right) && ys[j] == ys[above] ? ys[j] : from_right;
}

/// Mean of the values up to each position. NaN values count for nothing; before the first number the mean is 0, and with no
/// number at all it is 1 everywhere.
inline std::vector<double> running_mean(const std::vector<double>& values) {
  std::vector<double> means(values.size(), 1.0);
  if (std::all_of(values.begin(), values.end(), [](double value) { return std::isnan(value); })) {
    return means;
  }
  double sum = 0;
  double count = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isnan(values[i])) {
      sum += values[i];
      count += 1;
    }
    means[i] = count > 0 ? sum / count : 0;
  }
  return means;
}

}  // namespace bevfusion
