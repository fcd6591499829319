// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "../support/statistics.hpp"
#include "choices.hpp"
#include "settings.hpp"

namespace example {

/// A mean over seeds and the standard deviation around it.
struct Spread {
  double mean = 0;
  double deviation = 0;
};

inline Spread spread(const std::vector<double>& values) { return {mean(values), deviation(values)}; }

/// What one calibrator came to, over all seeds; accuracies in percent, after the last epoch.
struct Summary {
  std::string key, title;
  Spread left, right, both, worst;
  double step_ratio = 1;  ///< processor time of a step; plain sum = 1, NaN without a plain sum
};

/// One summary for each chosen calibrator, in the order chosen.
inline std::vector<Summary> summarise(const std::vector<Run>& runs, const std::vector<Choice>& all,
                                      const std::vector<std::string>& chosen) {
  std::vector<Summary> summaries;
  const auto step_seconds = [&](const std::string& key) {
    std::vector<double> seconds;
    for (const auto& run : runs) {
      if (run.calibrator == key) {
        seconds.push_back(run.step_seconds);
      }
    }
    return median(seconds);
  };
  for (const auto& key : chosen) {
    std::vector<double> left, right, both, worst;
    for (const auto& run : runs) {
      if (run.calibrator == key) {
        const auto& accuracy = run.epochs.back().accuracy;
        left.push_back(accuracy[0]);
        right.push_back(accuracy[1]);
        both.push_back((accuracy[0] + accuracy[1]) / 2);
        worst.push_back(std::min(accuracy[0], accuracy[1]));
      }
    }
    summaries.push_back({key, find_choice(all, key).title, spread(left), spread(right), spread(both), spread(worst),
                         step_seconds(key) / step_seconds("sum")});
  }
  return summaries;
}

inline std::string fixed(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

/// The final table: a head, then a row for each calibrator; the best of each column of accuracies begins with '*'.
inline std::vector<std::vector<std::string>> final_table(const std::vector<Summary>& summaries) {
  std::vector<std::vector<std::string>> rows = {
      {"calibrator", "left %", "right %", "mean of both %", "worse task %", "step time"}};
  const auto best = [&](Spread Summary::*column) {
    double most = 0;
    for (const auto& summary : summaries) {
      most = std::max(most, (summary.*column).mean);
    }
    return most;
  };
  for (const auto& summary : summaries) {
    std::vector<std::string> row = {summary.title};
    for (const auto column : {&Summary::left, &Summary::right, &Summary::both, &Summary::worst}) {
      const Spread& value = summary.*column;
      row.push_back((value.mean == best(column) ? "*" : "") + fixed(value.mean, 1) + " ± " + fixed(value.deviation, 1));
    }
    row.push_back(std::isnan(summary.step_ratio) ? "-" : "x " + fixed(summary.step_ratio, 2));
    rows.push_back(row);
  }
  return rows;
}

}  // namespace example
