// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "bevfusion/report/experiment_figures.hpp"
#include "bevfusion/report/findings.hpp"
#include "bevfusion/report/report_tables.hpp"

namespace bevfusion {

// Parts of an experiment's page, as HTML.

/// The paper's table with our figures beside the paper's; on a phone a card a row. Empty where it has no rows.
std::string results_html(const ExperimentSheet& sheet, const ExperimentFigures& figures);

/// Every difference with its verdict and the seeds that would show it.
std::string findings_html(const std::vector<Finding>& findings);

/// A plain table in a frame that scrolls sideways and can be reached by keyboard: the first row is the head, the first column
/// names the rows. `about` tells who does not see it what it is.
std::string plain_table_html(const TableRows& rows, const std::string& about);

/// Numbers of charts, to be opened.
std::string numbers_html(const TableRows& rows, const std::string& about);

/// A row for each row with runs that are done, of all their steps: gamma_task as it is printed, the larger over the smaller task
/// gradient, gamma_task after the weights, gamma_modal (median / mean each), share of conflicts, cosine.
TableRows ratio_rows(const ExperimentFigures& figures);

/// A row for each row with runs that are done: time, memory, parameters.
TableRows cost_rows(const ExperimentFigures& figures);

}  // namespace bevfusion
