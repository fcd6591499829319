// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/experiment_tables.hpp"

#include <algorithm>
#include <cmath>

#include "bevfusion/report/chart.hpp"
#include "bevfusion/report/styled_table.hpp"
#include "support/statistics.hpp"

namespace bevfusion {
namespace {

using example::escaped;

/// Shape and word, so that no verdict is told by its colour alone.
std::string mark_html(Verdict verdict) {
  const char* sign = "";
  const char* kind = "";
  switch (verdict) {
    case Verdict::agrees:
      sign = "\u2713";
      kind = "good";
      break;
    case Verdict::disagrees:
      sign = "\u2717";
      kind = "bad";
      break;
    case Verdict::inside_noise:
      sign = "\u2248";
      kind = "noise";
      break;
    case Verdict::one_seed:
      sign = "1";
      kind = "noise";
      break;
    case Verdict::none:
      return "";
  }
  return "<span class=\"mark " + std::string(kind) + "\"><b aria-hidden=\"true\">" + sign + "</b> " + text_of(verdict) +
         "</span>";
}

std::string cell_html(const FigureCell& cell, const FigureColumn& column) {
  std::string html = "<td data-label=\"" + escaped(column.label) + "\">";
  if (std::isfinite(cell.mean)) {
    html += "<span class=\"ours\">" + decimal(cell.mean, column.decimals);
    if (std::isfinite(cell.half_width)) {
      html += " <small>\u00b1 " + decimal(cell.half_width, column.decimals) + "</small>";
    }
    html += "</span>";
  } else if (std::isnan(cell.paper)) {
    html += "<span class=\"ours none\">\u2013</span>";
  }
  if (std::isfinite(cell.paper)) {
    html += "<span class=\"paper\">paper " + decimal(cell.paper, column.decimals) + "</span>";
  }
  if (cell.verdict != Verdict::none) {
    html += mark_html(cell.verdict) + "<span class=\"change\">" + signed_decimal(cell.difference.value, column.decimals) +
            " <i>paper</i> " + signed_decimal(cell.paper_difference, column.decimals) + "</span>";
  }
  return html + "</td>";
}

std::string head_html(const std::vector<std::string>& names) {
  std::string html = "<thead><tr>";
  for (const std::string& name : names) {
    html += "<th scope=\"col\">" + escaped(name) + "</th>";
  }
  return html + "</tr></thead>\n";
}

std::string seeds_html(std::size_t seeds) { return seeds == 0 ? "&gt; 1000" : std::to_string(seeds); }

std::string mean_text(const std::vector<double>& values, int decimals) {
  const Spread spread{values};
  return std::isfinite(spread.mean()) ? decimal(spread.mean(), decimals) : "-";
}

/// Median and mean of a quantity of the steps, each the mean over the runs.
std::string median_and_mean(const RowFigures& row, const std::string& quantity) {
  const std::string text = mean_text(row.group.median_of(quantity).values, 2);
  return text == "-" ? text : text + " / " + mean_text(row.group.mean_of(quantity).values, 2);
}

/// The larger over the smaller task gradient: of two tasks what gamma_task is without its direction.
std::string spread_text(const RowFigures& row) {
  std::vector<double> medians;
  std::vector<double> means;
  for (const RunRecord& run : row.group.runs) {
    const auto more_than_two = run.steps.find("gamma_task_spread");
    const auto two = run.steps.find("gamma_task");
    std::vector<double> values = more_than_two != run.steps.end() ? more_than_two->second.values
                                 : two != run.steps.end()         ? two->second.values
                                                                  : std::vector<double>();
    std::transform(values.begin(), values.end(), values.begin(), [](double value) { return std::max(value, 1 / value); });
    medians.push_back(median(values));
    means.push_back(example::mean(values));
  }
  const std::string text = mean_text(medians, 2);
  return text == "-" ? text : text + " / " + mean_text(means, 2);
}

std::string gibibytes(const RowFigures& row) {
  std::vector<double> values;
  for (const ExperimentRun* run : row.runs) {
    values.push_back(run->peak_bytes / (1024.0 * 1024 * 1024));
  }
  return mean_text(values, 2);
}

}  // namespace

std::string results_html(const ExperimentSheet& sheet, const ExperimentFigures& figures) {
  if (figures.rows.empty()) {
    return "";
  }
  std::vector<std::string> names = {"row"};
  for (const FigureColumn& column : sheet.columns) {
    names.push_back(column.label + (column.lower_is_better ? " \u2193" : " \u2191"));
  }
  std::string html = "<div class=\"wide\" tabindex=\"0\" role=\"group\" aria-label=\"" + escaped(sheet.place) +
                     ", our figures and the paper\u2019s\"><table class=\"results\">\n" + head_html(names);
  std::string block = "\n";  // no row is in it
  for (const RowFigures& row : figures.rows) {
    if (row.row->block != block) {
      html += block == "\n" ? "" : "</tbody>\n";
      block = row.row->block;
      html += "<tbody>";
      if (!block.empty()) {
        html += "<tr class=\"block\"><th colspan=\"" + std::to_string(names.size()) + "\" scope=\"rowgroup\">" + escaped(block) +
                "</th></tr>\n";
      }
    }
    const std::size_t seeds = row.group.runs.size();
    html += std::string(seeds == 0 ? "<tr class=\"pending\">" : "<tr>") +
            "<th scope=\"row\"><span class=\"name\"><i class=\"swatch s" + std::to_string(row.colour) + "\"></i>" +
            escaped(row.row->label) + "</span><span class=\"seeds\">" +
            (seeds == 0 ? escaped(row.row->needs.empty() ? "no run is done" : "not run: " + row.row->needs)
                        : std::to_string(seeds) + (seeds == 1 ? " seed" : " seeds")) +
            "</span></th>";
    for (std::size_t c = 0; c < row.cells.size(); ++c) {
      html += cell_html(row.cells[c], sheet.columns[c]);
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string findings_html(const std::vector<Finding>& findings) {
  std::string html =
      "<div class=\"wide\" tabindex=\"0\" role=\"group\" aria-label=\"Every difference with its verdict\"><table "
      "class=\"plain\">\n" +
      head_html({"row", "figure", "paper", "ours", "95 % interval", "pairs", "verdict", "seeds for ours",
                 "seeds for the paper\u2019s"}) +
      "<tbody>";
  for (const Finding& one : findings) {
    const FigureCell& cell = *one.cell;
    const int decimals = one.column->decimals;
    const bool known = std::isfinite(cell.difference.half_width);
    html += "<tr><th scope=\"row\">" + escaped(full_name(*one.row->row)) + "</th><td>" + escaped(one.column->label) +
            "</td><td>" + signed_decimal(cell.paper_difference, decimals) + "</td><td>" +
            signed_decimal(cell.difference.value, decimals) + "</td><td>" +
            (known ? signed_decimal(cell.difference.value - cell.difference.half_width, decimals) + " to " +
                         signed_decimal(cell.difference.value + cell.difference.half_width, decimals)
                   : "not known") +
            "</td><td>" + std::to_string(cell.difference.runs) + "</td><td>" + mark_html(cell.verdict) + "</td><td>" +
            (known ? seeds_html(one.seeds_for_ours) : "not known") + "</td><td>" +
            (known ? seeds_html(one.seeds_for_papers) : "not known") + "</td></tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string plain_table_html(const TableRows& rows, const std::string& about) {
  std::string html = "<div class=\"wide\" tabindex=\"0\" role=\"group\" aria-label=\"" + escaped(about) +
                     "\"><table class=\"plain\">\n" + head_html(rows.front()) + "<tbody>";
  for (std::size_t r = 1; r < rows.size(); ++r) {
    html += "<tr>";
    for (std::size_t c = 0; c < rows[r].size(); ++c) {
      html += (c == 0 ? "<th scope=\"row\">" : "<td>") + escaped(rows[r][c]) + (c == 0 ? "</th>" : "</td>");
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string numbers_html(const TableRows& rows, const std::string& about) {
  return rows.size() < 2 ? ""
                         : "<details class=\"numbers\"><summary>Numbers: " + escaped(about) + "</summary>" +
                               plain_table_html(rows, about) + "</details>\n";
}

TableRows ratio_rows(const ExperimentFigures& figures) {
  TableRows rows{{"row", "\u03b3_task, median / mean", "largest / smallest", "\u03b3_task, weighted", "\u03b3_modal",
                  "conflicts, %", "cosine"}};
  for (const RowFigures& row : figures.rows) {
    if (row.group.runs.empty() || !row.row->single.empty()) {
      continue;
    }
    std::vector<double> conflicts = row.group.mean_of("conflict_share").values;
    std::transform(conflicts.begin(), conflicts.end(), conflicts.begin(), [](double share) { return 100 * share; });
    rows.push_back({full_name(*row.row), median_and_mean(row, "gamma_task"), spread_text(row),
                    median_and_mean(row, "gamma_task_weighted"), median_and_mean(row, "gamma_modal"), mean_text(conflicts, 1),
                    mean_text(row.group.mean_of("cosine").values, 3)});
  }
  return without_empty_columns(rows);
}

TableRows cost_rows(const ExperimentFigures& figures) {
  TableRows rows{
      {"row", "minutes of training", "seconds a step", "of them waiting, %", "peak memory, GiB", "parameters", "of twins"}};
  for (const RowFigures& row : figures.rows) {
    if (row.group.runs.empty()) {
      continue;
    }
    std::vector<double> minutes;
    std::vector<double> waiting;
    std::vector<double> parameters;
    std::vector<double> of_twins;
    for (const RunRecord& run : row.group.runs) {
      minutes.push_back(run.training_seconds() / 60);
      waiting.push_back(100 * run.mean_of("waited") / run.mean_of("seconds"));
      parameters.push_back(run.parameters);
      of_twins.push_back(run.twin_parameters);
    }
    rows.push_back({full_name(*row.row), mean_text(minutes, 1), mean_text(row.group.mean_of("seconds").values, 3),
                    mean_text(waiting, 1), gibibytes(row), mean_text(parameters, 0), mean_text(of_twins, 0)});
  }
  return without_empty_columns(rows);
}

}  // namespace bevfusion
