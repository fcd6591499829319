// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/experiment_figures.hpp"

#include <algorithm>
#include <cmath>
#include <exception>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "support/statistics.hpp"

namespace bevfusion {
namespace {

constexpr double not_there = std::numeric_limits<double>::quiet_NaN();

std::vector<double> finite(const std::vector<double>& values) {
  std::vector<double> out;
  std::copy_if(values.begin(), values.end(), std::back_inserter(out), [](double value) { return std::isfinite(value); });
  return out;
}

/// Parameters of networks for each of a run's tasks alone; NaN where one of them is not there.
double parallel_parameters(const RunRecord& run, const SingleTaskRuns& single) {
  double sum = 0;
  for (const std::string& task : run.facts.tasks) {
    const auto found = single.find(task);
    sum += found == single.end() || found->second.empty() ? not_there : found->second.front().parameters;
  }
  return run.facts.tasks.empty() ? not_there : sum;
}

/// Figures of the rows' runs beside those of single-task networks and of the row that Lambda_MTL counts from.
void compare_rows(std::vector<RowFigures>& rows, const ExperimentSheet& sheet) {
  SingleTaskRuns single;
  for (const RowFigures& one : rows) {
    if (!one.row->single.empty()) {
      auto& runs = single[one.row->single];
      runs.insert(runs.end(), one.group.runs.begin(), one.group.runs.end());
    }
  }
  const auto runs_of = [&](const std::string& key) {
    const auto found = std::find_if(rows.begin(), rows.end(), [&](const RowFigures& one) { return one.row->key == key; });
    return found == rows.end() ? std::vector<RunRecord>() : found->group.runs;
  };
  for (RowFigures& one : rows) {
    if (one.group.runs.empty()) {
      continue;
    }
    ComparisonOptions options;
    options.delta_divisor = sheet.delta_divisor;
    options.lambda_divisor = sheet.lambda_divisor;
    std::vector<RunRecord> runs = one.group.runs;
    for (const RunRecord& run : runs) {
      one.parallel_parameters.push_back(parallel_parameters(run, single));
    }
    const std::string from = sheet.lambda_baseline.empty() ? one.row->baseline : sheet.lambda_baseline;
    const std::vector<RunRecord> others = runs_of(from);
    if (from != one.row->key && !others.empty()) {
      runs.insert(runs.end(), others.begin(), others.end());
      options.baseline = from;
    }
    one.group = compare(std::move(runs), single, options).front();
    if (from == one.row->key) {
      std::fill(one.group.lambda_mtl.begin(), one.group.lambda_mtl.end(), 0.0);
    }
  }
}

/// A number by its name in any table of an evaluation.
double detail_of(const RunRecord& run, const std::string& name) {
  for (const auto& table : run.details.tables) {
    const double value = number_of(table.second.values, name);
    if (std::isfinite(value)) {
      return value;
    }
  }
  return not_there;
}

double figure_in(const Figures& figures, const std::string& name) {
  const auto found = figures.find(name);
  return found == figures.end() ? not_there : found->second;
}

/// SENSOR and FIGURE of "without SENSOR/FIGURE"; none of another name.
std::optional<std::pair<std::string, std::string>> without_sensor(const std::string& name) {
  const std::string without = "without ";
  const std::size_t slash = name.find('/');
  if (name.rfind(without, 0) != 0 || slash == std::string::npos) {
    return std::nullopt;
  }
  return std::make_pair(name.substr(without.size(), slash - without.size()), name.substr(slash + 1));
}

/// What a file of results says of a run, as if it had been read from its folder; what is counted against other runs is left to be
/// counted anew, against all that there are now.
RunRecord known_run(const ExperimentRow& row, const ExperimentRun& known) {
  RunRecord run;
  run.group = row.key;
  run.figures = known.figures;
  for (const auto& [name, value] : known.figures) {
    if (const auto missing = without_sensor(name)) {
      run.missing[missing->first][missing->second] = value;
    }
  }
  for (const char* relative : {"delta_mtl", "lambda_mtl", "parameter_ratio"}) {
    run.figures.erase(relative);
  }
  run.parameters = figure_in(known.figures, "parameters");
  run.facts.tasks = known.tasks;
  return run;
}

double value_of(const RowFigures& row, std::size_t r, const std::string& key) {
  const RunRecord& run = row.group.runs[r];
  const bool counted_anew = key == "delta_mtl" || key == "lambda_mtl" || key == "parameter_ratio";
  if (!row.runs[r]->known_from.empty() && !counted_anew) {
    return figure_in(run.figures, key);
  }
  if (const auto missing = without_sensor(key)) {
    return row.group.missing(missing->first, missing->second).values[r];
  }
  if (key == "delta_mtl" || key == "lambda_mtl") {
    return (key == "delta_mtl" ? row.group.delta_mtl : row.group.lambda_mtl)[r];
  }
  if (key == "parameters") {
    return run.parameters;
  }
  if (key == "parameter_ratio") {
    return run.facts.tasks.size() > 1 ? run.parameters / row.parallel_parameters[r] : not_there;
  }
  if (key == "training_seconds") {
    return run.training_seconds();
  }
  if (key == "peak_bytes") {
    return row.runs[r]->peak_bytes;
  }
  if (const double figure = figure_in(run.figures, key); std::isfinite(figure)) {
    return figure;
  }
  return run.steps.count(key) > 0 ? run.median_of(key) : detail_of(run, key);
}

std::vector<std::uint64_t> seeds_of(const RowFigures& row) {
  std::vector<std::uint64_t> seeds;
  std::transform(row.runs.begin(), row.runs.end(), std::back_inserter(seeds), [](const ExperimentRun* run) { return run->seed; });
  return seeds;
}

Verdict verdict_of(const FigureCell& cell) {
  if (!std::isfinite(cell.paper_difference) || !std::isfinite(cell.difference.value)) {
    return Verdict::none;
  }
  if (std::isnan(cell.difference.half_width)) {
    return Verdict::one_seed;
  }
  if (!cell.difference.is_clear()) {
    return Verdict::inside_noise;
  }
  return cell.difference.value * cell.paper_difference > 0 ? Verdict::agrees : Verdict::disagrees;
}

void compare_with(FigureCell& cell, const RowFigures& row, const FigureCell& other, const RowFigures& others) {
  const std::vector<double> pairs = paired_differences(seeds_of(row), cell.values, seeds_of(others), other.values);
  cell.difference.runs = cell.difference.baseline_runs = pairs.size();
  cell.difference.paired = true;
  if (!pairs.empty()) {
    cell.difference.value = example::mean(pairs);
  }
  if (pairs.size() > 1) {
    cell.difference.half_width = example::interval(pairs);
    cell.pair_deviation = example::deviation(pairs);
  }
  cell.paper_difference = cell.paper - other.paper;
  cell.verdict = verdict_of(cell);
}

FigureCell cell_of(const RowFigures& row, const FigureColumn& column) {
  FigureCell cell;
  for (std::size_t r = 0; r < row.group.runs.size(); ++r) {
    cell.values.push_back(column.scale * value_of(row, r, column.key));
  }
  const std::vector<double> there = finite(cell.values);
  cell.mean = example::mean(there);
  cell.half_width = example::interval(there);
  const auto printed = row.row->paper.find(column.key);
  cell.paper = printed == row.row->paper.end() ? not_there : printed->second;
  return cell;
}

/// Grey for rows that others are compared with, a colour a label for the others.
void colour(std::vector<RowFigures>& rows) {
  std::set<std::string> baselines;
  for (const RowFigures& one : rows) {
    baselines.insert(one.row->baseline);
  }
  std::map<std::string, int> colours;
  for (const bool single : {false, true}) {  // networks for one task alone come last, though they stand first
    for (RowFigures& one : rows) {
      if (baselines.count(one.row->key) == 0 && one.row->single.empty() != single) {
        const int next = 1 + static_cast<int>(colours.size()) % 7;
        one.colour = colours.emplace(one.row->label, next).first->second;
      }
    }
  }
}

}  // namespace

const char* text_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::one_seed:
      return "one seed";
    case Verdict::inside_noise:
      return "inside noise";
    case Verdict::agrees:
      return "agrees";
    case Verdict::disagrees:
      return "disagrees";
    case Verdict::none:
      break;
  }
  return "";
}

const RowFigures* ExperimentFigures::row(const std::string& key) const {
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const RowFigures& one) { return one.row->key == key; });
  return found == rows.end() ? nullptr : &*found;
}

std::vector<double> paired_differences(const std::vector<std::uint64_t>& seeds, const std::vector<double>& values,
                                       const std::vector<std::uint64_t>& other_seeds, const std::vector<double>& others) {
  std::map<std::uint64_t, double> by_seed;
  for (std::size_t i = 0; i < others.size(); ++i) {
    if (std::isfinite(others[i])) {
      by_seed.emplace(other_seeds[i], others[i]);
    }
  }
  std::vector<double> out;
  std::set<std::uint64_t> seen;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto other = by_seed.find(seeds[i]);
    if (std::isfinite(values[i]) && other != by_seed.end() && seen.insert(seeds[i]).second) {
      out.push_back(values[i] - other->second);
    }
  }
  return out;
}

ExperimentFigures experiment_figures(const FinishedExperiment& experiment) {
  ExperimentFigures out;
  for (const ExperimentRow& row : experiment.sheet.rows) {
    RowFigures figures;
    figures.row = &row;
    figures.group.name = row.key;
    for (const ExperimentRun* run : experiment.of_row(row.key)) {
      if (run->state != RunState::done) {
        continue;
      }
      try {
        figures.group.runs.push_back(run->known_from.empty() ? read_run(row.key + "=" + run->folder.string())
                                                             : known_run(row, *run));
        figures.runs.push_back(run);
      } catch (const std::exception& error) {
        out.unreadable.push_back(row.label + ", seed " + std::to_string(run->seed) + ": " + error.what());
      }
    }
    out.rows.push_back(std::move(figures));
  }
  compare_rows(out.rows, experiment.sheet);
  for (RowFigures& row : out.rows) {
    for (const FigureColumn& column : experiment.sheet.columns) {
      row.cells.push_back(cell_of(row, column));
    }
  }
  for (RowFigures& row : out.rows) {
    const RowFigures* others = row.row->baseline.empty() ? nullptr : out.row(row.row->baseline);
    for (std::size_t c = 0; others != nullptr && c < row.cells.size(); ++c) {
      compare_with(row.cells[c], row, others->cells[c], *others);
    }
  }
  colour(out.rows);
  return out;
}

}  // namespace bevfusion
