// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "../support/svg.hpp"
#include "settings.hpp"

namespace example {

/// The mean of a number of the steps over all seeds of one calibrator, in `windows` equal stretches of the training. Ratios and
/// weights are averaged as logarithms, so that 10 and 1/10 average to 1.
template <class Value>
std::vector<std::pair<double, double>> over_steps(const std::vector<Run>& runs, const std::string& calibrator, int windows,
                                                  bool logarithmic, Value value) {
  std::vector<double> sums(static_cast<std::size_t>(windows)), counts(sums);
  double last = 0;
  for (const auto& run : runs) {
    if (run.calibrator != calibrator || run.steps.empty()) {
      continue;
    }
    last = run.steps.back().epoch;
    for (const auto& step : run.steps) {
      const auto window = std::min(static_cast<std::size_t>(step.epoch / last * windows), sums.size() - 1);
      const double seen = logarithmic ? std::log(value(step)) : value(step);
      if (std::isfinite(seen)) {
        sums[window] += seen;
        counts[window] += 1;
      }
    }
  }
  std::vector<std::pair<double, double>> points;
  for (std::size_t w = 0; w < sums.size(); ++w) {
    if (counts[w] > 0) {
      const double average = sums[w] / counts[w];
      points.emplace_back(last * (static_cast<double>(w) + 0.5) / windows, logarithmic ? std::exp(average) : average);
    }
  }
  return points;
}

/// The mean of a number of the epochs over all seeds of one calibrator.
template <class Value>
std::vector<std::pair<double, double>> over_epochs(const std::vector<Run>& runs, const std::string& calibrator, Value value) {
  std::vector<std::pair<double, double>> points;
  double count = 0;
  for (const auto& run : runs) {
    if (run.calibrator == calibrator) {
      points.resize(run.epochs.size());
      count += 1;
      for (std::size_t e = 0; e < points.size(); ++e) {
        points[e].first = run.epochs[e].epoch;
        points[e].second += value(run.epochs[e]);
      }
    }
  }
  for (auto& point : points) {
    point.second /= count;
  }
  return points;
}

}  // namespace example
