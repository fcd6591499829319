// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "bevfusion/report/run_record.hpp"

namespace bevfusion {

/// What runs are compared with, and what their drops and gains are divided by.
struct ComparisonOptions {
  std::string baseline;       ///< the group that Lambda_MTL counts from; none where empty
  double delta_divisor = 2;   ///< of Delta_MTL: FULLER's Table 1 divides the drops of three metrics by its two tasks
  double lambda_divisor = 3;  ///< of Lambda_MTL: its supplement divides by the three metrics
};

/// Values of the runs of a group; NaN where a run has none.
struct Spread {
  std::vector<double> values;

  /// Of the numbers among them; NaN for none.
  double mean() const;
  /// Standard deviation of the sample; NaN for fewer than two.
  double deviation() const;
  /// "0.123 ± 0.004", "0.123" for one, "-" for none.
  std::string text(int decimals) const;
};

/// The runs of one name.
struct RunGroup {
  std::string name;
  std::vector<RunRecord> runs;
  std::vector<double> delta_mtl;   ///< of each run, a fraction, positive is worse; NaN without single-task runs or a figure
  std::vector<double> lambda_mtl;  ///< of each run, in the figures' unit, positive is better; NaN without a baseline

  Spread figure(const std::string& name) const;
  Spread missing(const std::string& sensor, const std::string& name) const;
  Spread mean_of(const std::string& quantity) const;
  Spread median_of(const std::string& quantity) const;
  Spread deltas() const { return {delta_mtl}; }
  Spread lambdas() const { return {lambda_mtl}; }
};

/// Groups runs by name, in the order they are first given, and compares them: Delta_MTL of mAP, NDS and mIoU against the means
/// of the single-task runs, Lambda_MTL of the same against the means of the baseline's runs.
/// @param detection, segmentation  single-task runs; none: no Delta_MTL
/// @throws std::invalid_argument for an unknown baseline or a divisor that is not > 0
std::vector<RunGroup> compare(std::vector<RunRecord> runs, const std::vector<RunRecord>& detection,
                              const std::vector<RunRecord>& segmentation, const ComparisonOptions& options);

}  // namespace bevfusion
