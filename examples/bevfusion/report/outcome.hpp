// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "bevfusion/report/comparison.hpp"

namespace bevfusion {

/// How far a figure of some runs lies from that of the baseline's.
struct Difference {
  double value = std::numeric_limits<double>::quiet_NaN();       ///< mean of the runs - mean of the baseline's
  double half_width = std::numeric_limits<double>::quiet_NaN();  ///< of the 95 % interval; NaN where a side has one run alone
  std::size_t runs = 0, baseline_runs = 0;                       ///< that have the figure
  bool paired = false;                                           ///< differences of runs of one seed each

  /// Whether the interval lies to one side of zero.
  bool is_clear() const;
};

/// Difference of a figure, with its 95 % interval by Student's t: of the paired differences where both sides have the same seeds
/// (training.seed of their configs), else Welch's, its degrees of freedom rounded down.
Difference difference_of(const RunGroup& runs, const RunGroup& baseline, const std::string& figure);

/// What the others are compared with: the named baseline, or, where none is named, the only name whose runs calibrate nothing.
/// @return its place among the groups, -1 for none
int baseline_among(const std::vector<RunGroup>& groups, const std::string& named);

/// What came out, a sentence for each name beside the baseline, without more certainty than the runs give.
std::vector<std::string> outcome_sentences(const std::vector<RunGroup>& groups, int baseline);

/// The page's colour of each group: grey (0) for the baseline, the accent and the others in turn.
std::vector<int> colours_of(const std::vector<RunGroup>& groups, int baseline);

}  // namespace bevfusion
