// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "bevfusion/report/run_record.hpp"

namespace bevfusion {

/// What runs are compared with, and what their drops and gains are divided by.
struct ComparisonOptions {
  std::string baseline;  ///< the group that Lambda_MTL counts from; none where empty
  /// Of Delta_MTL; 0: the run's tasks. FULLER's Table 1 divides the drops of three metrics by its two tasks.
  double delta_divisor = 0;
  /// Of Lambda_MTL; 0: the run's metrics. FULLER's supplement divides by its three.
  double lambda_divisor = 0;
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
  std::vector<double> delta_mtl;      ///< of each run, a fraction, positive is worse; NaN where something is missing
  std::vector<double> lambda_mtl;     ///< of each run, in the figures' unit, positive is better; NaN likewise
  std::vector<std::string> compared;  ///< the figures that both are of: those of the runs' tasks
  double delta_divisor = 0;
  double lambda_divisor = 0;
  std::string missing_for_delta;   ///< why there is no Delta_MTL, in words; empty where there is, and where none was asked for
  std::string missing_for_lambda;  ///< likewise

  Spread figure(const std::string& name) const;
  Spread missing(const std::string& sensor, const std::string& name) const;
  Spread mean_of(const std::string& quantity) const;
  Spread median_of(const std::string& quantity) const;
  Spread deltas() const { return {delta_mtl}; }
  Spread lambdas() const { return {lambda_mtl}; }
};

/// Runs of a network for one task alone, by the task's name.
using SingleTaskRuns = std::map<std::string, std::vector<RunRecord>>;

/// Groups runs by name, in the order they are first given, and compares them: Delta_MTL of the figures of a run's tasks (mAP and
/// NDS of detection, mIoU of segmentation, and so on) against the means of the single-task runs, Lambda_MTL of the same against
/// the means of the baseline's runs. A figure of a task is never left out of them: where it is missing, so are they. A run of one
/// task has no Delta_MTL.
/// @param single  none of a task that a run has: no Delta_MTL
/// @throws std::invalid_argument for an unknown baseline, a negative divisor, or runs of one name with different tasks
std::vector<RunGroup> compare(std::vector<RunRecord> runs, const SingleTaskRuns& single, const ComparisonOptions& options);

/// The groups' divisors of Delta_MTL or Lambda_MTL as text: "2", or, where they differ, "2 (sum), 3 (three_tasks)".
std::string divisor_text(const std::vector<RunGroup>& groups, double RunGroup::*divisor);

}  // namespace bevfusion
