// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "bevfusion/report/experiment_figures.hpp"

namespace bevfusion {

/// A difference that the paper prints, and what our runs say of it.
struct Finding {
  const RowFigures* row = nullptr;
  const RowFigures* baseline = nullptr;
  const FigureColumn* column = nullptr;
  const FigureCell* cell = nullptr;
  /// Seeds of which a test at 5 % would show it in four of five experiments, were it truly as large as it is here, or as in the
  /// paper, and its pairs as far apart as ours; 0: more than 1000, or not known.
  std::size_t seeds_for_ours = 0;
  std::size_t seeds_for_papers = 0;
};

/// All of them, row by row.
/// @param sheet, figures  must outlive the result
std::vector<Finding> findings_of(const ExperimentSheet& sheet, const ExperimentFigures& figures);

/// Those of the figure that answer() is of.
std::vector<Finding> leading_findings(const std::vector<Finding>& findings);

/// How many of them stand so.
std::size_t count_of(const std::vector<Finding>& findings, Verdict verdict);

/// The experiment's answer: a sentence on the difference that the paper makes most of; where the paper prints none, on our
/// largest in the first figure that has one.
std::string answer(const FinishedExperiment& experiment, const ExperimentFigures& figures, const std::vector<Finding>& findings);

/// A sentence on all of them; empty where there is none.
std::string tally(const std::vector<Finding>& findings);

/// Whether the rows of each part of the table come in the paper's order, by the figure that answer() is of; a sentence for each
/// part with at least three rows.
std::vector<std::string> order_sentences(const ExperimentSheet& sheet, const ExperimentFigures& figures,
                                         const std::vector<Finding>& findings);

/// One finding in words: "shown", "not shown", with its figures and the seeds that would show it.
std::string sentence_of(const Finding& finding);

/// What a row is called where rows of several parts are named: with its part.
std::string full_name(const ExperimentRow& row);

}  // namespace bevfusion
