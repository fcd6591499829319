// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "bevfusion/report/chart_parts.hpp"
#include "bevfusion/report/courses.hpp"
#include "bevfusion/report/experiment_charts.hpp"
#include "bevfusion/report/experiment_tables.hpp"
#include "bevfusion/report/findings.hpp"

namespace bevfusion {
namespace {

using example::escaped;

bool stays_at_one(const ChartLine& line) {
  return std::all_of(line.points.begin(), line.points.end(), [](const auto& point) { return std::abs(point.second - 1) < 1e-9; });
}

constexpr double no_level = std::numeric_limits<double>::quiet_NaN();

/// A chart a row: its course, and pale the others' of its part of the table, on one scale.
/// @param level  where nothing leads: dotted
std::string row_charts(const ExperimentFigures& figures, const std::string& title, const char* x_label,
                       const std::function<ChartLine(const RowFigures&)>& course, double level = 1) {
  std::vector<ChartLine> lines;
  ChartRange range;
  for (const RowFigures& row : figures.rows) {
    lines.push_back(course(row));
    range.add({lines.back()}, true);
  }
  std::string html;
  for (std::size_t r = 0; r < lines.size(); ++r) {
    if (lines[r].points.empty()) {
      continue;
    }
    Chart chart;
    chart.title = in_block(figures.rows[r].row->label, figures.rows[r].row->block);
    chart.x_label = x_label;
    chart.logarithmic = is_wide(range);
    chart.y = range;
    chart.reference = level;
    for (std::size_t other = 0; other < lines.size(); ++other) {
      if (figures.rows[other].row->block == figures.rows[r].row->block && other != r) {
        chart.lines.push_back(lines[other]);
        chart.lines.back().pale = true;
        chart.lines.back().band.clear();
      }
    }
    chart.lines.push_back(lines[r]);
    chart.description = title + ". " + last_values(chart.lines);
    html += figure_html(chart);
  }
  for (std::size_t r = 0; r < lines.size(); ++r) {
    lines[r].name = full_name(*figures.rows[r].row);
  }
  return html.empty() ? "" : "<h3>" + escaped(title) + "</h3>\n" + panels(html) + numbers_html(numbers_of(lines, x_label), title);
}

/// A chart a row with a line for each name of a kind.
/// @param level  where nothing leads: dotted, and rows whose lines never leave 1 are named instead of drawn; NaN: none
std::string charts_of_kind(const ExperimentFigures& figures, const std::string& kind, const std::string& title, double level) {
  std::vector<std::string> names;
  for (const RowFigures& row : figures.rows) {
    for (const std::string& name : names_of_kind(row, kind)) {
      if (std::find(names.begin(), names.end(), name) == names.end()) {
        names.push_back(name);
      }
    }
  }
  std::vector<Chart> charts;
  ChartRange range;
  std::vector<ChartLine> all;
  std::string constant;
  for (const RowFigures& row : figures.rows) {
    Chart chart;
    for (const std::string& name : names_of_kind(row, kind)) {
      ChartLine line = over_steps(row, kind + name);
      line.colour = 2 + 3 * static_cast<int>(std::find(names.begin(), names.end(), name) - names.begin());
      line.name = name;
      chart.lines.push_back(line);
    }
    if (chart.lines.empty()) {
      continue;
    }
    if (std::isfinite(level) && std::all_of(chart.lines.begin(), chart.lines.end(), stays_at_one)) {
      constant += (constant.empty() ? "" : ", ") + full_name(*row.row);
      continue;
    }
    chart.title = in_block(row.row->label, row.row->block);
    chart.description = last_values(chart.lines);
    for (ChartLine line : chart.lines) {
      line.name = full_name(*row.row) + ", " + line.name;
      all.push_back(line);
    }
    range.add(chart.lines, true);
    charts.push_back(std::move(chart));
  }
  if (charts.empty()) {
    return "";
  }
  std::string html;
  for (Chart& chart : charts) {
    chart.x_label = "step";
    chart.logarithmic = is_wide(range);
    chart.y = range;
    chart.reference = level;
    html += figure_html(chart);
  }
  std::string key = "<p class=\"key\">";
  for (std::size_t n = 0; n < names.size(); ++n) {
    key += swatch((2 + 3 * n) % 8, names[n]);
  }
  key += constant.empty() ? "" : "<span class=\"soft\">always 1: " + escaped(constant) + "</span>";
  return "<h3>" + escaped(title) + "</h3>\n" + key + "</p>\n" + panels(html) + numbers_html(numbers_of(all, "step"), title);
}

}  // namespace

std::string ratio_charts(const ExperimentFigures& figures, const std::string& quantity, const std::string& title) {
  return row_charts(figures, title, "step", [&](const RowFigures& row) { return over_steps(row, quantity); });
}

std::string gradient_row_charts(const ExperimentFigures& figures) {
  return row_charts(figures, "\u03b3_task by row of the last shared layer\u2019s gradient, at the last step that was logged so",
                    "row", over_gradient_rows);
}

std::string named_charts(const ExperimentFigures& figures, const std::string& kind, const std::string& title) {
  return charts_of_kind(figures, kind, title, 1);
}

std::string paper_plots(const ExperimentSheet& sheet, const ExperimentFigures& figures) {
  std::string html;
  for (const PaperPlot& plot : sheet.plots) {
    const std::string title = plot.place + ": " + plot.text.substr(0, plot.text.find_last_not_of('.') + 1);
    if (plot.kind == "branch_norms") {
      html += charts_of_kind(figures, "branch_norms/", title, no_level);
    } else if (plot.kind == "losses") {
      html += charts_of_kind(figures, "losses/", title, no_level);
    } else if (plot.kind == "gates") {
      html += ratio_charts(figures, "gate_ratio", title);
    } else if (plot.kind == "training_loss") {
      html += row_charts(
          figures, title, "step", [](const RowFigures& row) { return over_steps(row, "loss"); }, no_level);
    }
  }
  return html;
}

std::string grad_norm_chart(const ExperimentFigures& figures) {
  const auto first_of = [&](const std::string& rule, bool gated) {
    return std::find_if(figures.rows.begin(), figures.rows.end(), [&](const RowFigures& row) {
      return !row.group.runs.empty() && row.group.runs.front().facts.calibrator == rule &&
             (!gated || row.group.runs.front().facts.gate == "gradient");
    });
  };
  const auto grad_norm = first_of("gradnorm", false);
  const auto fuller = first_of("imtl_g", true);
  if (grad_norm == figures.rows.end() || fuller == figures.rows.end()) {
    return "";
  }
  Chart chart;
  chart.title = "Weighted \u03b3_task: FULLER beside GradNorm";
  chart.x_label = "step";
  chart.reference = 1;
  chart.lines = {over_steps(*grad_norm, "gamma_task_weighted"), over_steps(*fuller, "gamma_task_weighted")};
  chart.width = 560;
  chart.height = 260;
  ChartRange range;
  range.add(chart.lines, true);
  chart.logarithmic = is_wide(range);
  chart.y = range;
  chart.description = last_values(chart.lines);
  return "<p class=\"key\">" + swatch(grad_norm->colour, grad_norm->row->label) + swatch(fuller->colour, fuller->row->label) +
         "</p>\n<div class=\"single\">" + figure_html(chart) + "</div>\n" +
         numbers_html(numbers_of(chart.lines, "step"), chart.title);
}

}  // namespace bevfusion
