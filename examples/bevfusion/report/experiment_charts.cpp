// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/experiment_charts.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "bevfusion/report/chart.hpp"
#include "bevfusion/report/courses.hpp"
#include "bevfusion/report/experiment_tables.hpp"
#include "bevfusion/report/findings.hpp"
#include "bevfusion/tasks/task_sheet.hpp"
#include "support/statistics.hpp"

namespace bevfusion {
namespace {

using example::escaped;

std::string panels(const std::string& figures) {
  return figures.empty() ? "" : "<div class=\"panels\">\n" + figures + "</div>\n";
}

/// Whether values span so much that they are best shown on a logarithmic axis.
bool is_wide(const ChartRange& positive) { return !positive.empty() && positive.high > 6 * positive.low; }

std::vector<std::string> blocks_of(const ExperimentFigures& figures) {
  std::vector<std::string> blocks;
  for (const RowFigures& row : figures.rows) {
    if (std::find(blocks.begin(), blocks.end(), row.row->block) == blocks.end()) {
      blocks.push_back(row.row->block);
    }
  }
  return blocks;
}

std::string in_block(const std::string& title, const std::string& block) { return block.empty() ? title : title + ", " + block; }

std::string last_values(const std::vector<ChartLine>& lines, int digits) {
  std::string text;
  for (const ChartLine& line : lines) {
    if (!line.points.empty() && !line.pale) {
      text += (text.empty() ? "At the end: " : ", ") + line.name + " " + example::label(line.points.back().second, digits);
    }
  }
  return text.empty() ? text : text + ".";
}

std::string swatch(const std::string& kind, const std::string& name) {
  return "<span><i class=\"swatch " + kind + "\"></i>" + escaped(name) + "</span> ";
}

bool stays_at_one(const ChartLine& line) {
  return std::all_of(line.points.begin(), line.points.end(), [](const auto& point) { return std::abs(point.second - 1) < 1e-9; });
}

/// Mean and half the 95 % interval of a figure of a row's runs.
void add_bar(BarGroup& group, const std::vector<double>& values, double scale) {
  std::vector<double> there;
  for (const double value : values) {
    if (std::isfinite(value)) {
      there.push_back(scale * value);
    }
  }
  group.values.push_back(example::mean(there));
  group.errors.push_back(example::interval(there));
}

}  // namespace

std::string key_html(const ExperimentFigures& figures) {
  std::string html = "<p class=\"key\">";
  std::set<std::string> seen;
  for (const RowFigures& row : figures.rows) {
    if (!row.group.runs.empty() && seen.insert(row.row->label).second) {
      html += swatch("s" + std::to_string(row.colour), row.row->label);
    }
  }
  return html + "</p>\n";
}

std::string effect_charts(const ExperimentSheet& sheet, const ExperimentFigures& figures) {
  std::string html;
  for (const std::string& block : blocks_of(figures)) {
    for (std::size_t c = 0; c < sheet.columns.size(); ++c) {
      EffectChart chart;
      for (const RowFigures& row : figures.rows) {
        const FigureCell& cell = row.cells[c];
        if (row.row->block == block && std::isfinite(cell.difference.value)) {
          chart.marks.push_back(
              {row.row->label, row.colour, cell.difference.value, cell.difference.half_width, cell.paper_difference});
          chart.description += row.row->label + ": " + signed_decimal(cell.difference.value, sheet.columns[c].decimals) +
                               (std::isfinite(cell.paper_difference)
                                    ? ", paper " + signed_decimal(cell.paper_difference, sheet.columns[c].decimals)
                                    : "") +
                               ". ";
        }
      }
      if (!chart.marks.empty()) {
        chart.title = in_block(sheet.columns[c].label, block);
        chart.lower_is_better = sheet.columns[c].lower_is_better;
        html += figure_html(chart);
      }
    }
  }
  return panels(html);
}

std::string convergence_charts(const ExperimentFigures& figures) {
  std::string html;
  std::string numbers;
  for (const FigureSheet& figure : figure_sheets()) {
    std::vector<ChartLine> all;
    ChartRange range;
    for (const RowFigures& row : figures.rows) {
      ChartLine line = over_epochs(row, figure.name, 100);
      line.dashed = !row.row->single.empty();
      range.add({line}, false);
      all.push_back(std::move(line));
    }
    TableRows rows;
    for (const std::string& block : blocks_of(figures)) {
      Chart chart;
      chart.title = in_block(figure.title + ", %", block);
      chart.x_label = "epoch";
      chart.whole_x = true;
      chart.y = range;
      bool is_shown = false;
      for (std::size_t r = 0; r < all.size(); ++r) {
        const ExperimentRow& row = *figures.rows[r].row;
        const bool is_here = row.single.empty() && row.block == block;
        if (all[r].points.size() > 1 && (is_here || !row.single.empty())) {
          is_shown = is_shown || is_here;
          chart.lines.push_back(all[r]);
        }
      }
      if (is_shown) {
        chart.description = last_values(chart.lines, 3);
        html += figure_html(chart);
      }
    }
    for (std::size_t r = 0; r < all.size(); ++r) {
      all[r].name = full_name(*figures.rows[r].row);
    }
    rows = numbers_of(all, "epoch");
    numbers += numbers_html(rows, figure.title + " by epoch, %");
  }
  return html.empty() ? "" : panels(html) + numbers;
}

std::string ratio_charts(const ExperimentFigures& figures, const std::string& quantity, const std::string& title) {
  std::vector<ChartLine> lines;
  ChartRange range;
  for (const RowFigures& row : figures.rows) {
    lines.push_back(over_steps(row, quantity));
    range.add({lines.back()}, true);
  }
  std::string html;
  for (std::size_t r = 0; r < lines.size(); ++r) {
    if (lines[r].points.empty()) {
      continue;
    }
    Chart chart;
    chart.title = in_block(figures.rows[r].row->label, figures.rows[r].row->block);
    chart.x_label = "step";
    chart.logarithmic = is_wide(range);
    chart.y = range;
    chart.reference = 1;
    for (std::size_t other = 0; other < lines.size(); ++other) {
      if (figures.rows[other].row->block == figures.rows[r].row->block && other != r) {
        chart.lines.push_back(lines[other]);
        chart.lines.back().pale = true;
        chart.lines.back().band.clear();
      }
    }
    chart.lines.push_back(lines[r]);
    chart.description = title + ": median over the steps " + example::label(figures.rows[r].group.median_of(quantity).mean(), 3) +
                        ". " + last_values(chart.lines, 3);
    html += figure_html(chart);
  }
  if (html.empty()) {
    return "";
  }
  for (std::size_t r = 0; r < lines.size(); ++r) {
    lines[r].name = full_name(*figures.rows[r].row);
  }
  return "<h3>" + escaped(title) + "</h3>\n" + panels(html) + numbers_html(numbers_of(lines, "step"), title);
}

std::string named_charts(const ExperimentFigures& figures, const std::string& kind, const std::string& title) {
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
    if (std::all_of(chart.lines.begin(), chart.lines.end(), stays_at_one)) {
      constant += (constant.empty() ? "" : ", ") + full_name(*row.row);
      continue;
    }
    chart.title = in_block(row.row->label, row.row->block);
    chart.description = last_values(chart.lines, 3);
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
    chart.reference = 1;
    html += figure_html(chart);
  }
  std::string key = "<p class=\"key\">";
  for (std::size_t n = 0; n < names.size(); ++n) {
    key += swatch("s" + std::to_string((2 + 3 * n) % 8), names[n]);
  }
  key += constant.empty() ? "" : "<span class=\"soft\">always 1: " + escaped(constant) + "</span>";
  return "<h3>" + escaped(title) + "</h3>\n" + key + "</p>\n" + panels(html) + numbers_html(numbers_of(all, "step"), title);
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
  chart.description = last_values(chart.lines, 3);
  return "<p class=\"key\">" + swatch("s" + std::to_string(grad_norm->colour), grad_norm->row->label) +
         swatch("s" + std::to_string(fuller->colour), fuller->row->label) + "</p>\n<div class=\"single\">" + figure_html(chart) +
         "</div>\n" + numbers_html(numbers_of(chart.lines, "step"), chart.title);
}

std::string missing_sensor_charts(const ExperimentFigures& figures) {
  std::set<std::string> sensors;
  for (const RowFigures& row : figures.rows) {
    for (const RunRecord& run : row.group.runs) {
      for (const auto& one : run.missing) {
        sensors.insert(one.first);
      }
    }
  }
  std::string html;
  for (const FigureSheet& figure : figure_sheets()) {
    for (const std::string& block : sensors.empty() ? std::vector<std::string>() : blocks_of(figures)) {
      BarChart chart;
      chart.title = in_block(figure.title + ", %", block);
      BarGroup all{"all sensors", {}, {}};
      std::vector<BarGroup> without;
      for (const std::string& sensor : sensors) {
        without.push_back({"no " + sensor, {}, {}});
      }
      bool any = false;
      for (const RowFigures& row : figures.rows) {
        const std::vector<double> whole = row.group.figure(figure.name).values;
        if (row.row->block != block || !row.row->single.empty() || std::isnan(example::mean(whole))) {
          continue;
        }
        any = true;
        chart.bars.push_back(row.row->label);
        chart.colours.push_back(row.colour);
        add_bar(all, whole, 100);
        std::size_t s = 0;
        for (const std::string& sensor : sensors) {
          add_bar(without[s++], row.group.missing(sensor, figure.name).values, 100);
        }
      }
      if (!any) {
        continue;
      }
      chart.groups.push_back(all);
      chart.groups.insert(chart.groups.end(), without.begin(), without.end());
      for (const BarGroup& group : chart.groups) {
        chart.description += group.name + ": ";
        for (std::size_t b = 0; b < chart.bars.size(); ++b) {
          chart.description += chart.bars[b] + " " + decimal(group.values[b], 1) + (b + 1 < chart.bars.size() ? ", " : ". ");
        }
      }
      html += figure_html(chart);
    }
  }
  return panels(html);
}

}  // namespace bevfusion
