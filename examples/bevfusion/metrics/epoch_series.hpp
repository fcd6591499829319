// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <vector>

namespace bevfusion {

/// One epoch of a quantity that is measured every step. Figures are NaN where no step showed a finite value.
struct EpochFigures {
  std::int64_t epoch = 0;
  std::size_t steps = 0;    ///< with a finite value
  std::size_t skipped = 0;  ///< with NaN or an infinite value, which enter no figure
  double mean = std::numeric_limits<double>::quiet_NaN();
  double median = std::numeric_limits<double>::quiet_NaN();
  double least = std::numeric_limits<double>::quiet_NaN();
  double most = std::numeric_limits<double>::quiet_NaN();
};

/// Median of the values, the mean of the middle two for an even count; NaN for none.
inline double median(std::vector<double> values) {
  if (values.empty()) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) {
    return *middle;
  }
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

/// Per-epoch summaries of a per-step figure such as gamma_task (FULLER Eq. 2) or gamma_modal (Eq. 4). Ratios of gradient norms
/// have a heavy tail, so mean and median can lie a factor of two apart: both are kept.
///
/// Steps of an epoch may come in pieces and in any order of epochs. Costs 8 bytes a step.
class EpochSeries {
 public:
  void add(std::int64_t epoch, double value) {
    Epoch& steps = epochs_[epoch];
    if (std::isfinite(value)) {
      steps.values.push_back(value);
    } else {
      ++steps.skipped;
    }
  }

  /// Figures of one epoch; of no steps at all if it was never added to.
  EpochFigures figures(std::int64_t epoch) const {
    EpochFigures out;
    out.epoch = epoch;
    const auto found = epochs_.find(epoch);
    if (found == epochs_.end()) {
      return out;
    }
    const std::vector<double>& values = found->second.values;
    out.steps = values.size();
    out.skipped = found->second.skipped;
    if (values.empty()) {
      return out;
    }
    double sum = 0;
    for (const double value : values) {
      sum += value;
    }
    out.mean = sum / static_cast<double>(values.size());
    out.median = median(values);
    out.least = *std::min_element(values.begin(), values.end());
    out.most = *std::max_element(values.begin(), values.end());
    return out;
  }

  /// Figures of every epoch, by rising epoch.
  std::vector<EpochFigures> all() const {
    std::vector<EpochFigures> out;
    for (const auto& entry : epochs_) {
      out.push_back(figures(entry.first));
    }
    return out;
  }

 private:
  struct Epoch {
    std::vector<double> values;
    std::size_t skipped = 0;
  };
  std::map<std::int64_t, Epoch> epochs_;
};

}  // namespace bevfusion
