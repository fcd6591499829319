// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/comparison.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <stdexcept>
#include <utility>

#include "bevfusion/metrics/multitask_metrics.hpp"
#include "support/statistics.hpp"

namespace bevfusion {
namespace {

constexpr double not_there = std::numeric_limits<double>::quiet_NaN();
constexpr const char* compared[] = {"mAP", "NDS", "mIoU"};

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

/// The run's figures beside others; nothing where one of them is not there.
std::vector<ComparedMetric> beside(const RunRecord& run, const Figures& others) {
  std::vector<ComparedMetric> metrics;
  for (const char* name : compared) {
    const ComparedMetric metric{figure_of(run.figures, name), figure_of(others, name)};
    if (!std::isfinite(metric.value) || !std::isfinite(metric.baseline)) {
      return {};
    }
    metrics.push_back(metric);
  }
  return metrics;
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

std::vector<RunGroup> compare(std::vector<RunRecord> runs, const std::vector<RunRecord>& detection,
                              const std::vector<RunRecord>& segmentation, const ComparisonOptions& options) {
  std::vector<RunGroup> groups;
  for (RunRecord& run : runs) {
    auto group = std::find_if(groups.begin(), groups.end(), [&](const RunGroup& one) { return one.name == run.group; });
    if (group == groups.end()) {
      group = groups.insert(groups.end(), RunGroup{run.group, {}, {}, {}});
    }
    group->runs.push_back(std::move(run));
  }
  const Figures single = {{"mAP", mean_figure(detection, "mAP")},
                          {"NDS", mean_figure(detection, "NDS")},
                          {"mIoU", mean_figure(segmentation, "mIoU")}};
  Figures baseline;
  if (!options.baseline.empty()) {
    const auto found =
        std::find_if(groups.begin(), groups.end(), [&](const RunGroup& one) { return one.name == options.baseline; });
    if (found == groups.end()) {
      throw std::invalid_argument("the baseline '" + options.baseline + "' is none of the runs' names");
    }
    for (const char* name : compared) {
      baseline[name] = found->figure(name).mean();
    }
  }
  const bool has_zero = std::any_of(single.begin(), single.end(), [](const auto& figure) { return figure.second == 0; });
  for (RunGroup& group : groups) {
    for (const RunRecord& run : group.runs) {
      const std::vector<ComparedMetric> to_single = beside(run, single);
      // A single-task figure of 0 has no relative drop.
      group.delta_mtl.push_back(to_single.empty() || has_zero ? not_there : delta_mtl(to_single, options.delta_divisor));
      const std::vector<ComparedMetric> to_baseline = beside(run, baseline);
      group.lambda_mtl.push_back(to_baseline.empty() ? not_there : lambda_mtl(to_baseline, options.lambda_divisor));
    }
  }
  return groups;
}

}  // namespace bevfusion
