// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/courses.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace bevfusion {
namespace {

/// Values of the runs at the places of a chart.
using AtPlaces = std::map<double, std::vector<double>>;

ChartLine line_of(const RowFigures& row, const AtPlaces& places) {
  ChartLine line;
  line.name = row.row->label;
  line.colour = row.colour;
  for (const auto& [x, values] : places) {
    line.points.emplace_back(x, Spread{values}.mean());
    if (values.size() > 1) {
      const auto [least, most] = std::minmax_element(values.begin(), values.end());
      line.band.push_back({x, *least, *most});
    }
  }
  return line;
}

double last_step(const RowFigures& row) {
  double last = 1;
  for (const RunRecord& run : row.group.runs) {
    last = std::max(last, run.facts.last_step);
  }
  return last;
}

}  // namespace

ChartLine over_steps(const RowFigures& row, const std::string& quantity) {
  const double length = std::max(1.0, std::ceil(last_step(row) / 60));
  AtPlaces places;
  for (const RunRecord& run : row.group.runs) {
    const auto found = run.steps.find(quantity);
    if (found == run.steps.end()) {
      continue;
    }
    std::map<double, std::vector<double>> stretches;
    for (std::size_t i = 0; i < found->second.values.size(); ++i) {
      stretches[std::ceil(found->second.at[i] / length)].push_back(found->second.values[i]);
    }
    for (const auto& [number, values] : stretches) {
      places[(number - 0.5) * length + 0.5].push_back(median(values));
    }
  }
  return line_of(row, places);
}

ChartLine over_epochs(const RowFigures& row, const std::string& figure, double scale) {
  AtPlaces places;
  for (const RunRecord& run : row.group.runs) {
    const auto found = run.evaluations.find(figure);
    if (found == run.evaluations.end()) {
      continue;
    }
    for (const auto& [epoch, value] : found->second) {
      if (std::isfinite(value)) {
        places[static_cast<double>(epoch + 1)].push_back(scale * value);
      }
    }
  }
  return line_of(row, places);
}

ChartLine over_gradient_rows(const RowFigures& row) {
  AtPlaces places;
  for (const RunRecord& run : row.group.runs) {
    const std::string& pair = run.facts.gamma_pair;
    const std::size_t slash = pair.find('/');
    if (run.gradient_rows.empty() || slash == std::string::npos) {
      continue;
    }
    const auto& norms = run.gradient_rows.back().norms;
    const auto above = norms.find(pair.substr(0, slash));
    const auto below = norms.find(pair.substr(slash + 1));
    for (std::size_t i = 0; above != norms.end() && below != norms.end() && i < above->second.size() && i < below->second.size();
         ++i) {
      const double ratio = above->second[i] / below->second[i];
      if (std::isfinite(ratio)) {
        places[static_cast<double>(i + 1)].push_back(ratio);
      }
    }
  }
  return line_of(row, places);
}

std::vector<std::string> names_of_kind(const RowFigures& row, const std::string& kind) {
  std::set<std::string> names;
  for (const RunRecord& run : row.group.runs) {
    for (const auto& one : run.steps) {
      if (one.first.rfind(kind, 0) == 0) {
        names.insert(one.first.substr(kind.size()));
      }
    }
  }
  return {names.begin(), names.end()};
}

TableRows numbers_of(const std::vector<ChartLine>& lines, const std::string& x_label) {
  constexpr std::size_t most = 8;
  std::set<double> all;
  for (const ChartLine& line : lines) {
    for (const auto& point : line.points) {
      all.insert(point.first);
    }
  }
  const std::vector<double> places(all.begin(), all.end());
  std::vector<double> chosen;
  const std::size_t count = std::min(most, places.size());
  for (std::size_t i = 0; i < count; ++i) {
    chosen.push_back(places[count == 1 ? 0 : i * (places.size() - 1) / (count - 1)]);
  }
  TableRows rows{{x_label}};
  for (const double place : chosen) {
    rows[0].push_back(example::label(place, 6));
  }
  for (const ChartLine& line : lines) {
    if (line.points.empty()) {
      continue;
    }
    rows.push_back({line.name});
    for (const double place : chosen) {
      const auto at =
          std::find_if(line.points.begin(), line.points.end(), [&](const auto& point) { return point.first == place; });
      rows.back().push_back(at == line.points.end() ? "-" : example::label(at->second, 4));
    }
  }
  return rows;
}

}  // namespace bevfusion
