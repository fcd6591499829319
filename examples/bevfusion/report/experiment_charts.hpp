// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "bevfusion/report/experiment_figures.hpp"

namespace bevfusion {

// Charts of an experiment's page, as HTML; empty where nothing was measured.

/// A key to the colours of the rows.
std::string key_html(const ExperimentFigures& figures);

/// Differences from the baselines beside the paper's, a chart for each part of the table and figure.
std::string effect_charts(const ExperimentSheet& sheet, const ExperimentFigures& figures);

/// The figures over the epochs, single-task networks dashed.
std::string convergence_charts(const ExperimentFigures& figures);

/// A chart a row: its course, and pale the others' of its part of the table, on one scale.
std::string ratio_charts(const ExperimentFigures& figures, const std::string& quantity, const std::string& title);

/// FULLER's Figure 3: the ratio of the tasks' gradients in each row of the last shared layer, of runs that log it.
std::string gradient_row_charts(const ExperimentFigures& figures);

/// A chart a row with a line for each name of a kind ("weights/", "gates/"); rows in which all stay 1 have none.
std::string named_charts(const ExperimentFigures& figures, const std::string& kind, const std::string& title);

/// The figures of the paper that the sheet asks for and no other part of the page has: the branches' gradient norms, the gates'
/// ratio, the tasks' losses and the training loss.
std::string paper_plots(const ExperimentSheet& sheet, const ExperimentFigures& figures);

/// FULLER's weighted ratio of task gradients beside GradNorm's, where there are runs of both.
std::string grad_norm_chart(const ExperimentFigures& figures);

/// The figures with all sensors and without one.
std::string missing_sensor_charts(const ExperimentFigures& figures);

}  // namespace bevfusion
