// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "bevfusion/report/comparison.hpp"

namespace bevfusion {

/// The groups of a report, each with the page's colour for its lines.
struct PlottedGroups {
  const std::vector<RunGroup>& groups;
  std::vector<int> colours;

  /// Whether any run has the quantity.
  bool have(const std::string& quantity) const;
  /// Quantities of a kind ("losses/") that any run has.
  std::vector<std::string> of_kind(const std::string& kind) const;
};

using ByEpoch = std::map<std::int64_t, double>;

/// A line a group: the mean of its runs at every epoch, in a band from the least to the most of them.
/// @param may_be_logarithmic  the y axis is, where the values span so much that round ones still lie on it
/// @return an SVG element
std::string plot_over_epochs(const PlottedGroups& plotted, const std::string& title, const std::string& unit,
                             const std::function<ByEpoch(const RunRecord&)>& of, bool may_be_logarithmic);

/// A line a group over the steps of training: for each of at most 100 stretches of steps the median of each run's steps, their
/// mean over the runs, and the band between the least and the most.
/// @param always_logarithmic  for ratios, which are as far from 1 when they are 2 as when they are 1/2
std::string plot_over_steps(const PlottedGroups& plotted, const std::string& title, const std::string& unit,
                            const std::string& quantity, bool always_logarithmic = false);

/// A figure of the evaluations on the way, by epoch.
std::function<ByEpoch(const RunRecord&)> evaluated(const std::string& figure);

/// A figure of the steps' values in each epoch.
std::function<ByEpoch(const RunRecord&)> logged(const std::string& quantity, double EpochFigures::*which);

/// Whether a run was evaluated more than once, so that there is a line to draw.
bool has_course(const PlottedGroups& plotted, const std::string& figure);

/// A plot for each quantity of a kind: `what` and the name as title, the mean of each epoch.
std::vector<std::string> plots_by_name(const PlottedGroups& plotted, const std::string& kind, const std::string& what,
                                       bool may_be_logarithmic);

/// gamma_task, its weighted value, spread and gamma_modal: median and mean of each epoch.
std::vector<std::string> ratio_plots(const PlottedGroups& plotted);

/// Who leads, over the steps: FULLER's Figures 4 and 6 b.
std::vector<std::string> lead_plots(const PlottedGroups& plotted);

}  // namespace bevfusion
