// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace bevfusion {

/// A figure of an experiment's table. Keys are names of figures of an evaluation.json (mAP, NDS, mIoU, foreground_mIoU), the same
/// of a network without a sensor ("without camera/mIoU", "without lidar/mAP", "without CAM_FRONT/mAP", "without 28 of 32
/// beams/mAP"), nuScenes' errors (trans_err, scale_err,
/// orient_err, vel_err, attr_err), delta_mtl and lambda_mtl, the medians over the steps of what was logged (gamma_task,
/// gamma_task_weighted, gamma_modal, branch_norm_ratio, gate_ratio, cosine, conflict_share, and seconds, of a step), parameters,
/// parameter_ratio (parameters over those of the single-task networks of the same tasks together), training_seconds, peak_bytes.
struct FigureColumn {
  std::string key;
  std::string label;
  bool lower_is_better = false;
  double scale = 1;  ///< our figure times this is in the unit of label and paper: 100 for per cent
  int decimals = 1;
};

/// A line of an experiment's table: one network, trained with several seeds.
struct ExperimentRow {
  std::string key;    ///< within the experiment
  std::string block;  ///< heading of the part of the table that it stands in, "det : seg = 1 : 1"; empty where there is one part
  std::string label;
  std::string config;                                            ///< a file of configs/
  std::vector<std::string> options;                              ///< of `bevfusion train`, over the file
  std::map<std::string, std::vector<std::string>> size_options;  ///< by size, over those
  std::string baseline;  ///< key of the row that differences are counted from, by seed; empty: from none
  std::string single;    ///< the task that it is the network for alone, which Delta_MTL compares with; empty for none
  /// Rows before this one whose networks, of the same seed, teach it (bevfusion train --teacher), by task; they are run first.
  std::map<std::string, std::string> teachers;
  std::string needs;                    ///< a part that does not exist yet, or what no data here can show: then it is not run
  bool quick = false;                   ///< belongs to the quick plan
  std::map<std::string, double> paper;  ///< the paper's figures, in its unit, by the column's key
};

/// A figure (not a table) of the paper that the report draws from this experiment's runs.
struct PaperPlot {
  /// gamma_task (over steps), gradient_rows (per row of the gradient unfolded along its first axis), branch_norms, convergence,
  /// losses, weights, gates, missing_camera, missing_lidar, training_loss
  std::string kind;
  std::string place;  ///< "Figure 3"
  std::string text;   ///< what the paper's figure shows
};

/// A table or figure of a paper as a set of runs: what a file of configs/experiments/ says.
struct ExperimentSheet {
  std::string name;   ///< of the file, without .toml
  std::string paper;  ///< "FULLER", "wPCGrad"
  std::string place;  ///< "Table 1", "supplement, Table 3"
  std::string title;
  std::string shows;         ///< what the table is for, a sentence or two
  std::string expected;      ///< what the paper says comes out, and what is to be expected of it at the size that is run
  std::string needs;         ///< for the whole experiment: a part that does not exist yet; nothing of it is run
  std::string cannot;        ///< why no data set of this repository can carry it; nothing of it is run
  bool driving = false;      ///< its synthetic scenes are a driver's (bevfusion synth --driving)
  double delta_divisor = 0;  ///< as ComparisonOptions has them
  double lambda_divisor = 0;
  std::string lambda_baseline;       ///< row that Lambda_MTL counts from; each row's baseline where empty
  std::map<std::string, int> seeds;  ///< number of them by size
  std::vector<FigureColumn> columns;
  std::vector<ExperimentRow> rows;
  std::vector<PaperPlot> plots;

  const ExperimentRow* row(const std::string& key) const;    ///< null for none
  const FigureColumn* column(const std::string& key) const;  ///< null for none
  /// Whether any row can be run.
  bool can_run() const;
  /// Whether a column is of a network without a single camera or with fewer beams, which `eval --missing=table` alone measures.
  bool wants_single_sensors() const;
};

/// @throws std::invalid_argument with file, place and what is wrong: unknown keys (with the near one), a baseline that is no row,
///         a paper's figure without a column, two rows of one key
ExperimentSheet read_experiment_sheet(const std::filesystem::path& file);
/// The same of a text, as results keep it.
ExperimentSheet parse_experiment_sheet(const std::string& text, const std::string& name);

/// Names of all experiments in CONFIGS/experiments, in order: FULLER's tables and figures, its supplement's, wPCGrad's.
/// @throws std::invalid_argument where there is no such folder
std::vector<std::string> experiment_names(const std::filesystem::path& configs);

}  // namespace bevfusion
