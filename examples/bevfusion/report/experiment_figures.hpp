// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "bevfusion/experiments/finished_experiment.hpp"
#include "bevfusion/report/comparison.hpp"
#include "bevfusion/report/outcome.hpp"

namespace bevfusion {

/// How a difference that the paper prints stands beside ours.
enum class Verdict {
  none,          ///< there is nothing to compare: the paper prints no difference, or no pair of runs is done
  one_seed,      ///< the spread of seeds is not known
  inside_noise,  ///< the 95 % interval holds zero
  agrees,        ///< it lies on the paper's side of zero
  disagrees      ///< on the other, or beside zero where the paper has no difference
};
/// "agrees", "disagrees", "inside noise", "one seed"; nothing for none.
const char* text_of(Verdict verdict);

/// A cell of an experiment's table. All numbers are in the unit of its column, which the paper's are in.
struct FigureCell {
  std::vector<double> values;  ///< of each run of the row, NaN where it has none
  double mean = std::numeric_limits<double>::quiet_NaN();
  double half_width = std::numeric_limits<double>::quiet_NaN();  ///< of the mean's 95 % interval; NaN for fewer than two
  double paper = std::numeric_limits<double>::quiet_NaN();
  /// Ours minus the baseline row's: by seed, of the seeds that both have.
  Difference difference;
  double pair_deviation = std::numeric_limits<double>::quiet_NaN();  ///< of the differences of pairs; NaN for fewer than two
  double paper_difference = std::numeric_limits<double>::quiet_NaN();
  Verdict verdict = Verdict::none;
};

/// A line of an experiment's table with its runs that are done.
struct RowFigures {
  const ExperimentRow* row = nullptr;
  std::vector<const ExperimentRun*> runs;   ///< beside group.runs
  RunGroup group;                           ///< no runs where none is done
  std::vector<double> parallel_parameters;  ///< of each run: those of networks for each of its tasks alone, together
  std::vector<FigureCell> cells;            ///< one a column of the sheet
  int colour = 0;                           ///< of the page's eight: 0 for a baseline, the same for rows of one label
};

struct ExperimentFigures {
  std::vector<RowFigures> rows;
  std::vector<std::string> unreadable;  ///< runs that are done and whose files are not as they should be, in words

  const RowFigures* row(const std::string& key) const;  ///< null for none
};

/// Reads the runs that are done and works out the table.
/// @param experiment  must outlive the result
ExperimentFigures experiment_figures(const FinishedExperiment& experiment);

/// Differences of values of the same seed, of seeds that both have a finite value of; a seed that stands twice on a side counts
/// once.
std::vector<double> paired_differences(const std::vector<std::uint64_t>& seeds, const std::vector<double>& values,
                                       const std::vector<std::uint64_t>& other_seeds, const std::vector<double>& others);

}  // namespace bevfusion
