// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "bevfusion/report/chart.hpp"
#include "bevfusion/report/experiment_figures.hpp"
#include "bevfusion/report/report_tables.hpp"

namespace bevfusion {

/// How a quantity goes, of the runs of a row: the mean of the runs, in a band from the least to the most of them.

/// Over the steps: of each run the median in each of at most 60 stretches of equal length.
ChartLine over_steps(const RowFigures& row, const std::string& quantity);

/// Over the evaluations on the way, by epoch from 1.
/// @param scale  our figure times this
ChartLine over_epochs(const RowFigures& row, const std::string& figure, double scale);

/// Over the rows of the last shared layer's gradient, from 1, at the last step of which a run logged them: the ratio of the pair
/// of tasks that gamma_task is of.
ChartLine over_gradient_rows(const RowFigures& row);

/// Names of a kind ("weights/") that any run of the row has, without the kind.
std::vector<std::string> names_of_kind(const RowFigures& row, const std::string& kind);

/// A table of lines: a row a line, with the values at no more than eight of their places.
TableRows numbers_of(const std::vector<ChartLine>& lines, const std::string& x_label);

}  // namespace bevfusion
