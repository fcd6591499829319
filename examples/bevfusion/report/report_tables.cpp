// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/report_tables.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "bevfusion/tasks/task_sheet.hpp"
#include "support/csv.hpp"

namespace bevfusion {
namespace {

constexpr const char* gradient_names[] = {"gamma_task", "gamma_task_weighted", "gamma_modal", "conflict_share", "cosine",
                                          "seconds"};

Spread times(Spread spread, double factor) {
  for (double& value : spread.values) {
    value *= factor;
  }
  return spread;
}

Spread waiting(const RunGroup& group) {
  Spread waited = group.mean_of("waited");
  const Spread seconds = group.mean_of("seconds");
  for (std::size_t i = 0; i < waited.values.size(); ++i) {
    waited.values[i] = 100 * waited.values[i] / seconds.values[i];
  }
  return waited;
}

/// A head of columns that ends in one for each figure.
std::vector<std::string> with_titles(std::vector<std::string> head) {
  for (const FigureSheet& figure : figure_sheets()) {
    head.push_back(figure.title);
  }
  return head;
}

std::string median_and_mean(const RunGroup& group, const std::string& quantity) {
  const Spread median = group.median_of(quantity);
  return std::isnan(median.mean()) ? "-" : median.text(2) + " / " + group.mean_of(quantity).text(2);
}

std::set<std::string> sensors_of(const RunGroup& group) {
  std::set<std::string> names;
  for (const RunRecord& run : group.runs) {
    for (const auto& one : run.missing) {
      names.insert(one.first);
    }
  }
  return names;
}

nlohmann::ordered_json json_of(const Figures& figures) {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (const auto& [name, value] : figures) {
    out[name] = value;
  }
  return out;
}

}  // namespace

TableRows result_rows(const std::vector<RunGroup>& groups) {
  TableRows rows{with_titles({"run", "runs"})};
  rows[0].insert(rows[0].end(), {"Δ_MTL, % (low is good)", "Λ_MTL, points"});
  for (const RunGroup& group : groups) {
    std::vector<std::string> row = {group.name, std::to_string(group.runs.size())};
    for (const FigureSheet& figure : figure_sheets()) {
      row.push_back(group.figure(figure.name).text(4));
    }
    row.push_back(times(group.deltas(), 100).text(2));
    row.push_back(times(group.lambdas(), 100).text(2));
    rows.push_back(row);
  }
  return rows;
}

TableRows gradient_rows(const std::vector<RunGroup>& groups) {
  TableRows rows{
      {"run", "γ_task, median / mean", "weighted γ_task", "γ_modal", "conflicts, %", "cosine", "s a step", "waiting, %"}};
  for (const RunGroup& group : groups) {
    rows.push_back({group.name, median_and_mean(group, "gamma_task"), median_and_mean(group, "gamma_task_weighted"),
                    median_and_mean(group, "gamma_modal"), times(group.mean_of("conflict_share"), 100).text(1),
                    group.mean_of("cosine").text(3), group.mean_of("seconds").text(3), waiting(group).text(1)});
  }
  return rows;
}

TableRows missing_rows(const std::vector<RunGroup>& groups) {
  TableRows rows{with_titles({"run", "sensors"})};
  for (const RunGroup& group : groups) {
    const std::set<std::string> sensors = sensors_of(group);
    if (sensors.empty()) {
      continue;
    }
    std::vector<std::string> all = {group.name, "all"};
    for (const FigureSheet& figure : figure_sheets()) {
      all.push_back(group.figure(figure.name).text(4));
    }
    rows.push_back(all);
    for (const std::string& sensor : sensors) {
      std::vector<std::string> row = {group.name, "no " + sensor};
      for (const FigureSheet& figure : figure_sheets()) {
        row.push_back(group.missing(sensor, figure.name).text(4));
      }
      rows.push_back(row);
    }
  }
  return rows;
}

std::vector<std::string> csv_lines(const std::vector<RunGroup>& groups) {
  example::CsvLine head;
  head << "group"
       << "folder"
       << "parameters";
  for (const FigureSheet& figure : figure_sheets()) {
    head << figure.name;
  }
  head << "delta_mtl"
       << "lambda_mtl";
  for (const std::string name : gradient_names) {
    head << name + "_median" << name + "_mean";
  }
  std::vector<std::string> lines = {head.text()};
  for (const RunGroup& group : groups) {
    for (std::size_t r = 0; r < group.runs.size(); ++r) {
      const RunRecord& run = group.runs[r];
      example::CsvLine line;
      line << group.name << run.folder.string() << run.parameters;
      for (const FigureSheet& figure : figure_sheets()) {
        line << group.figure(figure.name).values[r];
      }
      line << group.delta_mtl[r] << group.lambda_mtl[r];
      for (const char* name : gradient_names) {
        line << run.median_of(name) << run.mean_of(name);
      }
      lines.push_back(line.text());
    }
  }
  return lines;
}

nlohmann::ordered_json report_json(const std::vector<RunGroup>& groups, const ComparisonOptions& options) {
  using Json = nlohmann::ordered_json;
  // One number where all groups have the same; each group says its own.
  const auto divisor = [&groups](double RunGroup::*of) {
    const bool alike = !groups.empty() && std::all_of(groups.begin(), groups.end(),
                                                      [&](const RunGroup& group) { return group.*of == groups.front().*of; });
    return alike ? Json(groups.front().*of) : Json();
  };
  Json out = {{"delta_divisor", divisor(&RunGroup::delta_divisor)},
              {"lambda_divisor", divisor(&RunGroup::lambda_divisor)},
              {"baseline", options.baseline},
              {"groups", Json::array()}};
  for (const RunGroup& group : groups) {
    Json of_group = {{"name", group.name},
                     {"compared", group.compared},
                     {"delta_divisor", group.delta_divisor},
                     {"lambda_divisor", group.lambda_divisor},
                     {"runs", Json::array()}};
    for (const FigureSheet& figure : figure_sheets()) {
      of_group[figure.name] = {{"mean", group.figure(figure.name).mean()}, {"deviation", group.figure(figure.name).deviation()}};
    }
    of_group["delta_mtl"] = {{"mean", group.deltas().mean()}, {"deviation", group.deltas().deviation()}};
    of_group["lambda_mtl"] = {{"mean", group.lambdas().mean()}, {"deviation", group.lambdas().deviation()}};
    for (std::size_t r = 0; r < group.runs.size(); ++r) {
      const RunRecord& run = group.runs[r];
      Json of_run = {{"folder", run.folder.string()},   {"parameters", run.parameters},      {"figures", json_of(run.figures)},
                     {"delta_mtl", group.delta_mtl[r]}, {"lambda_mtl", group.lambda_mtl[r]}, {"missing", Json::object()},
                     {"steps", Json::object()}};
      for (const auto& [sensor, figures] : run.missing) {
        of_run["missing"][sensor] = json_of(figures);
      }
      for (const auto& [name, measured] : run.steps) {
        of_run["steps"][name] = {{"median", run.median_of(name)}, {"mean", run.mean_of(name)}, {"steps", measured.values.size()}};
      }
      of_group["runs"].push_back(of_run);
    }
    out["groups"].push_back(of_group);
  }
  return out;
}

}  // namespace bevfusion
