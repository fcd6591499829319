// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/findings.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>
#include <set>

#include "bevfusion/report/chart.hpp"
#include "bevfusion/report/power.hpp"

namespace bevfusion {
namespace {

/// The figure that an experiment is first judged by: Delta_MTL where the paper has it, else the first that it compares.
const FigureColumn* leading_column(const std::vector<Finding>& findings) {
  const auto delta =
      std::find_if(findings.begin(), findings.end(), [](const Finding& one) { return one.column->key == "delta_mtl"; });
  return findings.empty() ? nullptr : (delta == findings.end() ? findings.front() : *delta).column;
}

/// Of the first part of the table that has one: the finding in that figure that is largest in the paper.
const Finding* leading_finding(const std::vector<Finding>& findings) {
  const FigureColumn* column = leading_column(findings);
  const Finding* best = nullptr;
  for (const Finding& one : findings) {
    const bool is_in_part = best == nullptr || one.row->row->block == best->row->row->block;
    const bool larger = best == nullptr || std::abs(one.cell->paper_difference) > std::abs(best->cell->paper_difference);
    if (one.column == column && is_in_part && larger) {
      best = &one;
    }
  }
  return best;
}

/// "mAP" of "mAP, %".
std::string name_of(const FigureColumn& column) { return column.label.substr(0, column.label.find(", ")); }

/// The unit of a difference, with a space before it: those of per cent are points. What stands after the comma of a label and is
/// none ("raw") is left out.
std::string unit_of(const FigureColumn& column) {
  const std::size_t comma = column.label.find(", ");
  const std::string unit = comma == std::string::npos ? "" : column.label.substr(comma + 2);
  if (unit == "%") {
    return " points";
  }
  const std::set<std::string> units = {"s", "min", "h", "m", "m/s", "rad", "MB", "GB", "MiB", "GiB", "M"};
  return units.count(unit) > 0 ? " " + unit : "";
}

std::string difference_text(double value, const FigureColumn& column) {
  return signed_decimal(value, column.decimals) + unit_of(column);
}

std::string seeds_text(std::size_t count) { return count == 1 ? "one seed" : std::to_string(count) + " seeds"; }

std::string interval_text(const Difference& difference, int decimals) {
  return "95 % interval " + signed_decimal(difference.value - difference.half_width, decimals) + " to " +
         signed_decimal(difference.value + difference.half_width, decimals);
}

/// "mAP of intra is 1.0 points higher than that of baseline (95 % interval ..., 5 seeds)".
std::string change_text(const Finding& finding) {
  const Difference& difference = finding.cell->difference;
  const ExperimentRow& row = *finding.row->row;
  const int decimals = finding.column->decimals;
  const std::string text = name_of(*finding.column) + " of " + row.label + " is " +
                           decimal(std::abs(difference.value), decimals) + unit_of(*finding.column) +
                           (difference.value < 0 ? " lower" : " higher") + " than that of " + finding.baseline->row->label +
                           (row.block.empty() ? "" : " at " + row.block);
  return text + (std::isnan(difference.half_width)
                     ? ", from one seed alone"
                     : " (" + interval_text(difference, decimals) + ", " + seeds_text(difference.runs) + ")");
}

std::string judgement(Verdict verdict) {
  switch (verdict) {
    case Verdict::agrees:
      return "The paper\u2019s effect shows here.";
    case Verdict::disagrees:
      return "The effect here is not the paper\u2019s.";
    case Verdict::inside_noise:
      return "The paper\u2019s effect is inside the noise of the seeds here.";
    default:
      return "How far seeds lie apart is not known.";
  }
}

/// The largest difference from a baseline in the first figure that has one.
std::optional<Finding> largest_of_ours(const ExperimentSheet& sheet, const ExperimentFigures& figures) {
  std::optional<Finding> best;
  for (std::size_t c = 0; c < sheet.columns.size() && !best; ++c) {
    for (const RowFigures& row : figures.rows) {
      const double value = row.cells[c].difference.value;
      if (std::isfinite(value) && (!best || std::abs(value) > std::abs(best->cell->difference.value))) {
        best = Finding{&row, figures.row(row.row->baseline), &sheet.columns[c], &row.cells[c]};
      }
    }
  }
  return best;
}

/// "A > B > C" from the largest to the smallest.
std::string order_text(std::vector<std::pair<double, std::string>> rows) {
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::string text;
  for (const auto& row : rows) {
    text += (text.empty() ? "" : " > ") + row.second;
  }
  return text;
}

std::string needed_text(std::size_t seeds) { return seeds == 0 ? "more than 1000 seeds" : seeds_text(seeds); }

}  // namespace

std::string full_name(const ExperimentRow& row) { return row.block.empty() ? row.label : row.label + " (" + row.block + ")"; }

std::vector<Finding> findings_of(const ExperimentSheet& sheet, const ExperimentFigures& figures) {
  std::vector<Finding> out;
  for (const RowFigures& row : figures.rows) {
    for (std::size_t c = 0; c < row.cells.size(); ++c) {
      const FigureCell& cell = row.cells[c];
      if (cell.verdict == Verdict::none) {
        continue;
      }
      Finding finding{&row, figures.row(row.row->baseline), &sheet.columns[c], &cell};
      finding.seeds_for_ours = pairs_that_show(cell.difference.value, cell.pair_deviation);
      finding.seeds_for_papers = pairs_that_show(cell.paper_difference, cell.pair_deviation);
      out.push_back(finding);
    }
  }
  return out;
}

std::vector<Finding> leading_findings(const std::vector<Finding>& findings) {
  std::vector<Finding> out;
  const FigureColumn* column = leading_column(findings);
  std::copy_if(findings.begin(), findings.end(), std::back_inserter(out),
               [&](const Finding& one) { return one.column == column; });
  return out;
}

std::size_t count_of(const std::vector<Finding>& findings, Verdict verdict) {
  return static_cast<std::size_t>(
      std::count_if(findings.begin(), findings.end(), [&](const Finding& one) { return one.cell->verdict == verdict; }));
}

std::string answer(const FinishedExperiment& experiment, const ExperimentFigures& figures, const std::vector<Finding>& findings) {
  const auto done = std::count_if(experiment.runs.begin(), experiment.runs.end(),
                                  [](const ExperimentRun& run) { return run.state == RunState::done; });
  const std::string& reason = !experiment.sheet.cannot.empty() ? experiment.sheet.cannot : experiment.sheet.needs;
  if (experiment.runs.empty() && !reason.empty()) {
    return "Nothing of this is run: " + reason;
  }
  if (done == 0) {
    return "No run is done yet, so nothing can be said.";
  }
  if (const Finding* lead = leading_finding(findings)) {
    return change_text(*lead) + "; the paper has " + signed_decimal(lead->cell->paper_difference, lead->column->decimals) + ". " +
           judgement(lead->cell->verdict);
  }
  const std::optional<Finding> ours = largest_of_ours(experiment.sheet, figures);
  return ours ? change_text(*ours) + ". The paper prints no figure of it."
              : std::to_string(done) + " of " + std::to_string(experiment.runs.size()) +
                    " runs are done, and none has a baseline that it can be compared with.";
}

std::string tally(const std::vector<Finding>& findings) {
  if (findings.empty()) {
    return "";
  }
  const auto number = [&](Verdict verdict) { return std::to_string(count_of(findings, verdict)); };
  std::string text = "Of " + std::to_string(findings.size()) + " differences that the paper prints, " + number(Verdict::agrees) +
                     " have the paper\u2019s direction here, " + number(Verdict::disagrees) + " do not, and " +
                     number(Verdict::inside_noise) + " lie inside the noise of the seeds";
  const std::size_t single = count_of(findings, Verdict::one_seed);
  return text + (single > 0 ? "; " + std::to_string(single) + " have one pair of seeds alone." : ".");
}

std::vector<std::string> order_sentences(const ExperimentSheet& sheet, const ExperimentFigures& figures,
                                         const std::vector<Finding>& findings) {
  std::vector<std::string> out;
  const FigureColumn* column = leading_column(findings);
  if (column == nullptr) {
    return out;
  }
  const auto place = static_cast<std::size_t>(column - sheet.columns.data());
  for (auto row = figures.rows.begin(); row != figures.rows.end();) {
    std::vector<std::pair<double, std::string>> ours;
    std::vector<std::pair<double, std::string>> papers;
    const std::string& block = row->row->block;
    for (; row != figures.rows.end() && row->row->block == block; ++row) {
      const FigureCell& cell = row->cells[place];
      if (std::isfinite(cell.mean) && std::isfinite(cell.paper)) {
        ours.emplace_back(cell.mean, row->row->label);
        papers.emplace_back(cell.paper, row->row->label);
      }
    }
    if (ours.size() > 2) {
      const std::string where = name_of(*column) + (block.empty() ? "" : " at " + block) + ": ";
      const bool same = order_text(ours) == order_text(papers);
      out.push_back("Order in " + where + order_text(ours) +
                    (same ? ", the paper\u2019s." : "; the paper has " + order_text(papers) + "."));
    }
  }
  return out;
}

std::string sentence_of(const Finding& finding) {
  const FigureCell& cell = *finding.cell;
  const int decimals = finding.column->decimals;
  std::string text = full_name(*finding.row->row) + " against " + finding.baseline->row->label + ", " + name_of(*finding.column) +
                     ": the paper has " + signed_decimal(cell.paper_difference, decimals) + ", we have " +
                     difference_text(cell.difference.value, *finding.column);
  if (cell.verdict == Verdict::one_seed) {
    return text + " from one seed alone: not known.";
  }
  text += " (" + interval_text(cell.difference, decimals) + ", " + seeds_text(cell.difference.runs) + "): ";
  if (cell.verdict == Verdict::agrees) {
    return text + "shown.";
  }
  if (cell.verdict == Verdict::disagrees) {
    return text + "not shown; there is a difference, and it is not the paper\u2019s.";
  }
  return text + "not shown. A difference of that size would take " + needed_text(finding.seeds_for_ours) +
         ", one of the paper\u2019s " + needed_text(finding.seeds_for_papers) + ".";
}

}  // namespace bevfusion
