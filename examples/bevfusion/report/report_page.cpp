// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/report_page.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "bevfusion/report/report_tables.hpp"
#include "support/page.hpp"
#include "support/svg.hpp"

namespace bevfusion {
namespace {

using ByEpoch = std::map<std::int64_t, double>;

/// A line a group: the mean of its runs at every epoch.
example::LinePlot over_epochs(const std::string& title, const std::string& unit, const std::vector<RunGroup>& groups,
                              const std::function<ByEpoch(const RunRecord&)>& of) {
  example::LinePlot plot;
  plot.title = title;
  plot.x_label = "epoch";
  plot.y_label = unit;
  plot.whole_x = true;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    std::map<std::int64_t, Spread> runs;
    for (const RunRecord& run : groups[g].runs) {
      for (const auto& [epoch, value] : of(run)) {
        runs[epoch].values.push_back(value);
      }
    }
    example::Series series{groups[g].name, {}, static_cast<int>(g)};
    for (const auto& [epoch, values] : runs) {
      series.points.emplace_back(static_cast<double>(epoch + 1), values.mean());
    }
    plot.series.push_back(series);
  }
  return plot;
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

/// Quantities of a kind ("losses/") that any run has.
std::set<std::string> of_kind(const std::vector<RunGroup>& groups, const std::string& kind) {
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
  return names;
}

/// Whether a run was evaluated more than once, so that there is a line to draw.
bool has_course(const std::vector<RunGroup>& groups, const std::string& figure) {
  for (const RunGroup& group : groups) {
    for (const RunRecord& run : group.runs) {
      const auto found = run.evaluations.find(figure);
      if (found != run.evaluations.end() && found->second.size() > 1) {
        return true;
      }
    }
  }
  return false;
}

std::vector<std::string> per_name(const std::vector<RunGroup>& groups, const std::string& kind, const std::string& what,
                                  bool may_be_logarithmic) {
  std::vector<std::string> plots;
  for (const std::string& name : of_kind(groups, kind)) {
    example::LinePlot plot =
        over_epochs(what + name.substr(kind.size()), "mean of the epoch", groups, logged(name, &EpochFigures::mean));
    if (may_be_logarithmic) {
      logarithmic_if_wide(plot);
    }
    plots.push_back(svg(plot));
  }
  return plots;
}

std::vector<std::string> ratio_plots(const std::vector<RunGroup>& groups) {
  const std::pair<const char*, const char*> ratios[] = {
      {"gamma_task", "γ_task"}, {"gamma_task_weighted", "γ_task of the weighted gradients"}, {"gamma_modal", "γ_modal"}};
  std::vector<std::string> plots;
  for (const auto& [name, title] : ratios) {
    if (of_kind(groups, name).count(name) == 0) {
      continue;
    }
    for (const auto& [which, of] : {std::pair(&EpochFigures::median, "median"), {&EpochFigures::mean, "mean"}}) {
      example::LinePlot plot = over_epochs(title, std::string(of) + " of the epoch", groups, logged(name, which));
      logarithmic_if_wide(plot);
      plots.push_back(svg(plot));
    }
  }
  return plots;
}

void section(example::Page& page, const std::string& heading, const std::string& explain, const std::vector<std::string>& plots) {
  if (plots.empty()) {
    return;
  }
  page.heading(heading);
  if (!explain.empty()) {
    page.paragraph(explain);
  }
  page.figures(plots);
}

}  // namespace

void write_page(const std::filesystem::path& file, const std::vector<RunGroup>& groups, const ComparisonOptions& options) {
  example::Page page("Training runs compared");
  std::vector<std::string> names;
  for (const RunGroup& group : groups) {
    names.push_back(group.name);
  }
  page.paragraph("Mean ± standard deviation over the runs of one name. Lines are the mean of a name's runs.");
  page.legend(names);
  page.table(result_rows(groups));
  std::string definitions = "Δ_MTL = (relative drops of mAP, NDS and mIoU against the single-task runs, summed) / " +
                            example::label(options.delta_divisor) + ".";
  if (!options.baseline.empty()) {
    definitions +=
        " Λ_MTL = (gains of the three over " + options.baseline + ", summed) / " + example::label(options.lambda_divisor) + ".";
  }
  page.paragraph(definitions);

  std::vector<std::string> quality;
  for (const std::string figure : {"mAP", "NDS", "mIoU", "foreground_mIoU"}) {
    if (has_course(groups, figure)) {
      quality.push_back(
          svg(over_epochs(figure == "foreground_mIoU" ? "foreground mIoU" : figure, "", groups, evaluated(figure))));
    }
  }
  section(page, "Figures", "", quality);
  const TableRows missing = missing_rows(groups);
  if (missing.size() > 1) {
    page.heading("Without a sensor");
    page.paragraph("The map of the sensor is replaced by zeros before the fuser.");
    page.table(missing);
  }
  page.heading("Gradients");
  page.paragraph(
      "γ_task: the larger over the smaller of the tasks' gradient norms on the last shared layer (FULLER, Eq. 2); weighted: "
      "after "
      "the tasks' weights. γ_modal: the same of the sensors, on their slices of the fusion weight (Eq. 4). Their distributions "
      "have "
      "a long tail, so median and mean are both shown. Conflicts: pairs of tasks whose gradients point against each other.");
  page.table(gradient_rows(groups));
  page.figures(ratio_plots(groups));
  std::vector<std::string> directions;
  for (const auto& [name, title] :
       {std::pair("conflict_share", "share of conflicting pairs"), {"cosine", "cosine of task gradients"}}) {
    if (of_kind(groups, name).count(name) > 0) {
      directions.push_back(svg(over_epochs(title, "mean of the epoch", groups, logged(name, &EpochFigures::mean))));
    }
  }
  section(page, "Conflicts", "", directions);
  section(page, "Weights of the tasks", "", per_name(groups, "weights/", "", false));
  section(page, "Gates of the sensors", "", per_name(groups, "gates/", "", false));
  section(page, "Losses", "Of the training batches, unweighted.", per_name(groups, "losses/", "", true));
  page.write(file.string());
}

}  // namespace bevfusion
