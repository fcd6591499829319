// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/experiment_charts.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <functional>
#include <set>

#include "bevfusion/report/chart.hpp"
#include "bevfusion/report/chart_parts.hpp"
#include "bevfusion/report/courses.hpp"
#include "bevfusion/report/experiment_tables.hpp"
#include "bevfusion/report/findings.hpp"
#include "bevfusion/tasks/task_sheet.hpp"
#include "support/statistics.hpp"

namespace bevfusion {
namespace {

using example::escaped;

std::vector<std::string> blocks_of(const ExperimentFigures& figures) {
  std::vector<std::string> blocks;
  for (const RowFigures& row : figures.rows) {
    if (std::find(blocks.begin(), blocks.end(), row.row->block) == blocks.end()) {
      blocks.push_back(row.row->block);
    }
  }
  return blocks;
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

/// "no camera", and of beams, whose name begins with their number, "28 beams off".
std::string without_text(const std::string& sensor) {
  const bool counted = !sensor.empty() && std::isdigit(static_cast<unsigned char>(sensor.front())) != 0;
  return counted ? sensor.substr(0, sensor.find(' ')) + " beams off" : "no " + sensor;
}

}  // namespace

std::string key_html(const ExperimentFigures& figures) {
  std::string html = "<p class=\"key\">";
  std::set<std::string> seen;
  for (const RowFigures& row : figures.rows) {
    if (!row.group.runs.empty() && seen.insert(row.row->label).second) {
      html += swatch(row.colour, row.row->label);
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
      ChartLine line = over_epochs(row, figure.name, figure.scale());
      line.dashed = !row.row->single.empty();
      range.add({line}, false);
      all.push_back(std::move(line));
    }
    TableRows rows;
    for (const std::string& block : blocks_of(figures)) {
      Chart chart;
      chart.title = in_block(figure.charted(), block);
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
        chart.description = last_values(chart.lines);
        html += figure_html(chart);
      }
    }
    for (std::size_t r = 0; r < all.size(); ++r) {
      all[r].name = full_name(*figures.rows[r].row);
    }
    rows = numbers_of(all, "epoch");
    numbers += numbers_html(rows, figure.title + " by epoch" + (figure.share ? ", %" : ""));
  }
  return html.empty() ? "" : panels(html) + numbers;
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
      chart.title = in_block(figure.charted(), block);
      BarGroup all{"all sensors", {}, {}};
      std::vector<BarGroup> without;
      for (const std::string& sensor : sensors) {
        without.push_back({without_text(sensor), {}, {}});
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
        add_bar(all, whole, figure.scale());
        std::size_t s = 0;
        for (const std::string& sensor : sensors) {
          add_bar(without[s++], row.group.missing(sensor, figure.name).values, figure.scale());
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
