// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

namespace bevfusion {

/// One figure of a multi-task model beside that of the model it is compared with, in the same unit.
struct ComparedMetric {
  double value = 0;
  double baseline = 0;
  bool lower_is_better = false;
};

namespace detail {

inline void check(const std::vector<ComparedMetric>& metrics, double divisor, const char* what) {
  if (metrics.empty() || !(divisor > 0)) {
    throw std::invalid_argument(std::string(what) + ": needs a metric, and a divisor > 0");
  }
  for (const ComparedMetric& metric : metrics) {
    if (!std::isfinite(metric.value) || !std::isfinite(metric.baseline)) {
      throw std::invalid_argument(std::string(what) + ": metrics and baselines must be finite");
    }
  }
}

}  // namespace detail

/// Delta_MTL = (1/T) sum_i (-1)^{l_i} (M_{m,i} - M_{b,i}) / M_{b,i} (FULLER Eq. 9; Vandenhende et al.): the mean relative drop
/// against the single-task baselines, a fraction, where l_i is 1 for metrics that should be high and 0 for those that should be
/// low. Positive is worse than the baselines.
///
/// The divisor T is a matter of definition and so explicit. FULLER's Table 1 sums mAP, NDS and mIoU, three metrics, and divides
/// by its two tasks; its Table 6 divides one row of four metrics (foreground mIoU is the fourth) by its three tasks and the other
/// by 2, and Table 3 of its supplement has one row undivided. Throws std::invalid_argument for no metric, a divisor <= 0, numbers
/// that are not finite, or a baseline of 0.
inline double delta_mtl(const std::vector<ComparedMetric>& metrics, double divisor) {
  detail::check(metrics, divisor, "Delta_MTL");
  double sum = 0;
  for (const ComparedMetric& metric : metrics) {
    if (metric.baseline == 0) {
      throw std::invalid_argument("Delta_MTL: a baseline of 0 has no relative drop");
    }
    const double rise = (metric.value - metric.baseline) / metric.baseline;
    sum += metric.lower_is_better ? rise : -rise;
  }
  return sum / divisor;
}

/// Lambda_MTL = (1/T) sum_i (M_{m,i} - M_{b,i}) (FULLER's supplement, Eq. 7): the mean gain over the multi-task baseline, in the
/// metrics' own unit; differences of metrics that should be low are negated. Positive is better.
///
/// FULLER's supplement, Table 3, divides by 3, the number of metrics. Throws as `delta_mtl`, but takes a baseline of 0.
inline double lambda_mtl(const std::vector<ComparedMetric>& metrics, double divisor) {
  detail::check(metrics, divisor, "Lambda_MTL");
  double sum = 0;
  for (const ComparedMetric& metric : metrics) {
    const double gain = metric.value - metric.baseline;
    sum += metric.lower_is_better ? -gain : gain;
  }
  return sum / divisor;
}

}  // namespace bevfusion
