// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/comparison.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <stdexcept>
#include <utility>

#include "bevfusion/metrics/multitask_metrics.hpp"
#include "bevfusion/tasks/task_sheet.hpp"
#include "support/statistics.hpp"

namespace bevfusion {
namespace {

constexpr double not_there = std::numeric_limits<double>::quiet_NaN();

/// The tasks of a run: those its log names, by their losses. A log that names none is of those that a config has where it does
/// not say, and of others of which it has a figure.
std::vector<TaskSheet> tasks_of(const RunRecord& run) {
  std::vector<TaskSheet> tasks;
  for (const TaskSheet& task : head_sheets()) {
    std::vector<std::string> names = task.loss_names();
    for (const TaskSheet& split : task_sheets()) {
      if (split.splits == task.name) {
        names.insert(names.end(), split.losses.begin(), split.losses.end());
      }
    }
    const auto named = [&](const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); };
    const auto measured = [&](const FigureSheet& figure) { return run.figures.count(figure.name) > 0; };
    const bool there = run.facts.tasks.empty() ? task.on || std::any_of(task.figures.begin(), task.figures.end(), measured)
                                               : std::any_of(run.facts.tasks.begin(), run.facts.tasks.end(), named);
    if (there) {
      tasks.push_back(task);
    }
  }
  return tasks;
}

std::vector<double> numbers(const std::vector<double>& values) {
  std::vector<double> out;
  std::copy_if(values.begin(), values.end(), std::back_inserter(out), [](double value) { return std::isfinite(value); });
  return out;
}

double figure_of(const Figures& figures, const std::string& name) {
  const auto found = figures.find(name);
  return found == figures.end() ? not_there : found->second;
}

double mean_figure(const std::vector<RunRecord>& runs, const std::string& name) {
  std::vector<double> values;
  for (const RunRecord& run : runs) {
    values.push_back(figure_of(run.figures, name));
  }
  return example::mean(numbers(values));
}

bool is_better_low(const std::string& name) {
  const std::vector<FigureSheet> figures = figure_sheets();
  return std::any_of(figures.begin(), figures.end(),
                     [&name](const FigureSheet& figure) { return figure.name == name && figure.lower_is_better; });
}

/// The run's figures beside others; nothing where one of them is not there.
std::vector<ComparedMetric> beside(const RunRecord& run, const std::vector<std::string>& names, const Figures& others) {
  std::vector<ComparedMetric> metrics;
  for (const std::string& name : names) {
    const ComparedMetric metric{figure_of(run.figures, name), figure_of(others, name), is_better_low(name)};
    if (!std::isfinite(metric.value) || !std::isfinite(metric.baseline)) {
      return {};
    }
    metrics.push_back(metric);
  }
  return metrics;
}

/// Compares a group's runs with single-task runs' figures.
void compare_with_single(RunGroup& group, const std::vector<TaskSheet>& tasks, const Figures& single) {
  std::string zero;
  for (const TaskSheet& task : tasks) {
    for (const FigureSheet& figure : task.figures) {
      if (std::isnan(figure_of(single, figure.name))) {
        group.missing_for_delta = "runs of --single-" + task.name + " with " + figure.name;
      } else if (figure_of(single, figure.name) == 0) {
        zero = figure.name;
      }
    }
  }
  if (tasks.size() < 2) {
    group.missing_for_delta = "a second task";
  } else if (group.missing_for_delta.empty() && !zero.empty()) {
    group.missing_for_delta = "a single-task " + zero + " above 0, of which there can be a relative drop";
  }
  for (const RunRecord& run : group.runs) {
    const std::vector<ComparedMetric> metrics = beside(run, group.compared, single);
    const bool there = group.missing_for_delta.empty() && !metrics.empty();
    group.delta_mtl.push_back(there ? delta_mtl(metrics, group.delta_divisor) : not_there);
  }
}

void compare_with_baseline(RunGroup& group, const Figures& baseline) {
  for (const std::string& name : group.compared) {
    if (std::isnan(figure_of(baseline, name))) {
      group.missing_for_lambda = "a baseline with " + name;
    }
  }
  for (const RunRecord& run : group.runs) {
    const std::vector<ComparedMetric> metrics = beside(run, group.compared, baseline);
    group.lambda_mtl.push_back(metrics.empty() ? not_there : lambda_mtl(metrics, group.lambda_divisor));
  }
}

Spread spread(const std::vector<RunRecord>& runs, const std::function<double(const RunRecord&)>& of) {
  Spread out;
  std::transform(runs.begin(), runs.end(), std::back_inserter(out.values), of);
  return out;
}

}  // namespace

double Spread::mean() const { return example::mean(numbers(values)); }

double Spread::deviation() const {
  const std::vector<double> there = numbers(values);
  return there.size() < 2 ? not_there : example::deviation(there);
}

std::string Spread::text(int decimals) const {
  if (std::isnan(mean())) {
    return "-";
  }
  char text[96];
  const double value = std::abs(mean()) < 0.5 * std::pow(10, -decimals) ? 0 : mean();  // not -0.00
  if (std::isnan(deviation())) {
    std::snprintf(text, sizeof text, "%.*f", decimals, value);
  } else {
    std::snprintf(text, sizeof text, "%.*f ± %.*f", decimals, value, decimals, deviation());
  }
  return text;
}

Spread RunGroup::figure(const std::string& figure) const {
  return spread(runs, [&](const RunRecord& run) { return figure_of(run.figures, figure); });
}

Spread RunGroup::missing(const std::string& sensor, const std::string& figure) const {
  return spread(runs, [&](const RunRecord& run) {
    const auto found = run.missing.find(sensor);
    return found == run.missing.end() ? not_there : figure_of(found->second, figure);
  });
}

Spread RunGroup::mean_of(const std::string& quantity) const {
  return spread(runs, [&](const RunRecord& run) { return run.mean_of(quantity); });
}

Spread RunGroup::median_of(const std::string& quantity) const {
  return spread(runs, [&](const RunRecord& run) { return run.median_of(quantity); });
}

std::vector<RunGroup> compare(std::vector<RunRecord> runs, const SingleTaskRuns& single_runs, const ComparisonOptions& options) {
  if (!(options.delta_divisor >= 0) || !(options.lambda_divisor >= 0)) {
    throw std::invalid_argument("a divisor of Delta_MTL or Lambda_MTL is negative; 0 stands for the tasks, or the metrics");
  }
  std::vector<RunGroup> groups;
  for (RunRecord& run : runs) {
    auto group = std::find_if(groups.begin(), groups.end(), [&](const RunGroup& one) { return one.name == run.group; });
    if (group == groups.end()) {
      group = groups.insert(groups.end(), RunGroup());
      group->name = run.group;
    }
    group->runs.push_back(std::move(run));
  }
  Figures single;
  bool any_single = false;
  for (const TaskSheet& task : head_sheets()) {
    const auto of_task = single_runs.find(task.name);
    for (const FigureSheet& figure : task.figures) {
      single[figure.name] = of_task == single_runs.end() ? not_there : mean_figure(of_task->second, figure.name);
    }
    any_single = any_single || (of_task != single_runs.end() && !of_task->second.empty());
  }
  Figures baseline;
  if (!options.baseline.empty()) {
    const auto found =
        std::find_if(groups.begin(), groups.end(), [&](const RunGroup& one) { return one.name == options.baseline; });
    if (found == groups.end()) {
      std::string names;
      for (const RunGroup& one : groups) {
        names += (names.empty() ? "" : ", ") + one.name;
      }
      throw std::invalid_argument("the baseline '" + options.baseline + "' is none of the runs' names, which are: " + names);
    }
    for (const auto& figure : single) {
      baseline[figure.first] = found->figure(figure.first).mean();
    }
  }
  for (RunGroup& group : groups) {
    const std::vector<TaskSheet> tasks = tasks_of(group.runs.front());
    for (const RunRecord& run : group.runs) {
      if (run.facts.tasks != group.runs.front().facts.tasks) {
        throw std::invalid_argument("the runs of '" + group.name + "' have different tasks (" + run.folder.string() +
                                    "); name them apart, as NAME=FOLDER");
      }
    }
    for (const TaskSheet& task : tasks) {
      for (const FigureSheet& figure : task.figures) {
        group.compared.push_back(figure.name);
      }
    }
    group.delta_divisor = options.delta_divisor > 0 ? options.delta_divisor : static_cast<double>(tasks.size());
    group.lambda_divisor = options.lambda_divisor > 0 ? options.lambda_divisor : static_cast<double>(group.compared.size());
    compare_with_single(group, tasks, single);
    compare_with_baseline(group, baseline);
    if (!any_single) {
      group.missing_for_delta.clear();
    }
    if (options.baseline.empty()) {
      group.missing_for_lambda.clear();
    }
  }
  return groups;
}

std::string divisor_text(const std::vector<RunGroup>& groups, double RunGroup::*divisor) {
  const auto number = [&](const RunGroup& group) {
    char text[32];
    std::snprintf(text, sizeof text, "%g", group.*divisor);
    return std::string(text);
  };
  const bool alike =
      std::all_of(groups.begin(), groups.end(), [&](const RunGroup& group) { return number(group) == number(groups.front()); });
  std::string text = groups.empty() || !alike ? "" : number(groups.front());
  for (std::size_t i = 0; !alike && i < groups.size(); ++i) {
    text += (i == 0 ? "" : ", ") + number(groups[i]) + " (" + groups[i].name + ")";
  }
  return text;
}

}  // namespace bevfusion
