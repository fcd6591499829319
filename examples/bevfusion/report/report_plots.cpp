// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/report_plots.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <utility>

#include "bevfusion/tasks/task_sheet.hpp"
#include "support/svg.hpp"

namespace bevfusion {
namespace {

/// Values of the runs at the places of a plot.
using AtPlaces = std::map<double, std::vector<double>>;

example::Series series_of(const std::string& name, int colour, const AtPlaces& places) {
  example::Series series{name, {}, colour};
  for (const auto& [x, values] : places) {
    series.points.emplace_back(x, Spread{values}.mean());
    if (values.size() > 1) {
      const auto [least, most] = std::minmax_element(values.begin(), values.end());
      series.band.push_back({x, *least, *most});
    }
  }
  return series;
}

/// Makes the y axis logarithmic where the plot spans so much that round values still lie on it.
void logarithmic_if_wide(example::LinePlot& plot) {
  double least = std::numeric_limits<double>::infinity();
  double most = 0;
  for (const example::Series& series : plot.series) {
    for (const auto& point : series.points) {
      if (std::isfinite(point.second)) {
        least = std::min(least, point.second);
        most = std::max(most, point.second);
      }
    }
  }
  plot.logarithmic = least > 0 && most > 8 * least;
}

/// Medians of a run's values in stretches of so many steps, by the stretches' middles.
std::map<double, double> medians_of_stretches(const Measured& measured, double length) {
  std::map<double, std::vector<double>> stretches;
  for (std::size_t i = 0; i < measured.values.size(); ++i) {
    const double number = std::ceil(measured.at[i] / length);
    stretches[(number - 0.5) * length + 0.5].push_back(measured.values[i]);
  }
  std::map<double, double> out;
  for (const auto& [middle, values] : stretches) {
    out[middle] = median(values);
  }
  return out;
}

double most_steps(const PlottedGroups& plotted) {
  double most = 1;
  for (const RunGroup& group : plotted.groups) {
    for (const RunRecord& run : group.runs) {
      most = std::max(most, run.facts.last_step);
    }
  }
  return most;
}

/// "detection / segmentation", where all runs say so.
std::string pair_of(const PlottedGroups& plotted) {
  std::set<std::string> pairs;
  for (const RunGroup& group : plotted.groups) {
    for (const RunRecord& run : group.runs) {
      pairs.insert(run.facts.gamma_pair);
    }
  }
  return pairs.size() == 1 ? *pairs.begin() : "";
}

}  // namespace

bool PlottedGroups::have(const std::string& quantity) const {
  return std::any_of(groups.begin(), groups.end(), [&](const RunGroup& group) {
    return std::any_of(group.runs.begin(), group.runs.end(), [&](const RunRecord& run) { return run.steps.count(quantity) > 0; });
  });
}

std::vector<std::string> PlottedGroups::of_kind(const std::string& kind) const {
  std::set<std::string> names;
  for (const RunGroup& group : groups) {
    for (const RunRecord& run : group.runs) {
      for (const auto& one : run.steps) {
        if (one.first.rfind(kind, 0) == 0) {
          names.insert(one.first);
        }
      }
    }
  }
  return {names.begin(), names.end()};
}

std::string plot_over_epochs(const PlottedGroups& plotted, const std::string& title, const std::string& unit,
                             const std::function<ByEpoch(const RunRecord&)>& of, bool may_be_logarithmic) {
  example::LinePlot plot;
  plot.title = title;
  plot.x_label = "epoch";
  plot.y_label = unit;
  plot.whole_x = true;
  for (std::size_t g = 0; g < plotted.groups.size(); ++g) {
    AtPlaces places;
    for (const RunRecord& run : plotted.groups[g].runs) {
      for (const auto& [epoch, value] : of(run)) {
        if (std::isfinite(value)) {
          places[static_cast<double>(epoch + 1)].push_back(value);
        }
      }
    }
    plot.series.push_back(series_of(plotted.groups[g].name, plotted.colours[g], places));
  }
  if (may_be_logarithmic) {
    logarithmic_if_wide(plot);
  }
  return svg(plot);
}

std::string plot_over_steps(const PlottedGroups& plotted, const std::string& title, const std::string& unit,
                            const std::string& quantity, bool always_logarithmic) {
  const double length = std::max(1.0, std::ceil(most_steps(plotted) / 100));
  example::LinePlot plot;
  plot.title = title;
  plot.x_label = "step";
  plot.y_label = unit;
  for (std::size_t g = 0; g < plotted.groups.size(); ++g) {
    AtPlaces places;
    for (const RunRecord& run : plotted.groups[g].runs) {
      const auto found = run.steps.find(quantity);
      if (found != run.steps.end()) {
        for (const auto& [middle, value] : medians_of_stretches(found->second, length)) {
          places[middle].push_back(value);
        }
      }
    }
    plot.series.push_back(series_of(plotted.groups[g].name, plotted.colours[g], places));
  }
  logarithmic_if_wide(plot);
  plot.logarithmic = plot.logarithmic || always_logarithmic;
  return svg(plot);
}

std::function<ByEpoch(const RunRecord&)> evaluated(const std::string& figure) {
  return [figure](const RunRecord& run) {
    const auto found = run.evaluations.find(figure);
    return found == run.evaluations.end() ? ByEpoch() : found->second;
  };
}

std::function<ByEpoch(const RunRecord&)> logged(const std::string& quantity, double EpochFigures::*which) {
  return [quantity, which](const RunRecord& run) {
    ByEpoch out;
    const auto found = run.steps.find(quantity);
    if (found != run.steps.end()) {
      for (const EpochFigures& epoch : found->second.epochs.all()) {
        out[epoch.epoch] = epoch.*which;
      }
    }
    return out;
  };
}

bool has_course(const PlottedGroups& plotted, const std::string& figure) {
  for (const RunGroup& group : plotted.groups) {
    for (const RunRecord& run : group.runs) {
      const auto found = run.evaluations.find(figure);
      if (found != run.evaluations.end() && found->second.size() > 1) {
        return true;
      }
    }
  }
  return false;
}

std::vector<std::string> plots_by_name(const PlottedGroups& plotted, const std::string& kind, const std::string& what,
                                       bool may_be_logarithmic) {
  std::vector<std::string> plots;
  for (const std::string& name : plotted.of_kind(kind)) {
    plots.push_back(plot_over_epochs(plotted, what + name.substr(kind.size()), "mean of the epoch",
                                     logged(name, &EpochFigures::mean), may_be_logarithmic));
  }
  return plots;
}

std::vector<std::string> ratio_plots(const PlottedGroups& plotted) {
  const std::string pair = pair_of(plotted).empty() ? "" : ", " + pair_of(plotted);
  const std::pair<const char*, std::string> ratios[] = {{"gamma_task", "γ_task" + pair},
                                                        {"gamma_task_weighted", "weighted γ_task" + pair},
                                                        {"gamma_task_spread", "largest over smallest task gradient"},
                                                        {"gamma_modal", "γ_modal"}};
  std::vector<std::string> plots;
  for (const auto& [name, title] : ratios) {
    if (!plotted.have(name)) {
      continue;
    }
    for (const auto& [which, of] : {std::pair(&EpochFigures::median, "median"), {&EpochFigures::mean, "mean"}}) {
      plots.push_back(plot_over_epochs(plotted, title, std::string(of) + " of the epoch", logged(name, which), true));
    }
  }
  return plots;
}

std::vector<std::string> lead_plots(const PlottedGroups& plotted) {
  struct Lead {
    std::string quantity, title, unit;
    bool ratio;
  };
  std::vector<Lead> leads = {{"norm_ratio", "task gradients: detection / segmentation", "ratio of norms", true},
                             {"branch_norm_ratio", "fusion gradients: LiDAR / camera", "ratio of norms", true},
                             {"gate_ratio", "gates: camera / LiDAR", "w_img / w_lid", true},
                             {"branch_norms/lidar", "fusion gradient of the LiDAR", "norm", false},
                             {"branch_norms/camera", "fusion gradient of the camera", "norm", false}};
  for (const TaskSheet& task : head_sheets()) {
    leads.push_back({"norms/" + task.name, "gradient of " + task.name, "norm", false});
  }
  std::vector<std::string> plots;
  for (const Lead& lead : leads) {
    if (plotted.have(lead.quantity)) {
      plots.push_back(plot_over_steps(plotted, lead.title, lead.unit, lead.quantity, lead.ratio));
    }
  }
  return plots;
}

}  // namespace bevfusion
