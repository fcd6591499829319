// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/experiments/experiment_results.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "bevfusion/experiments/experiment_plan.hpp"
#include "bevfusion/report/experiment_figures.hpp"
#include "support/output_file.hpp"
#include "support/text_table.hpp"

namespace bevfusion {
namespace {

using Json = nlohmann::ordered_json;

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

/// The experiment with a column more for each of what is kept of a run beside its table: what its evaluation and its log say in
/// one number each. All in evaluation's own units.
FinishedExperiment with_all_columns(const FinishedExperiment& experiment) {
  FinishedExperiment out = experiment;
  for (FigureColumn& column : out.sheet.columns) {
    column.scale = 1;
  }
  for (const char* key : {"mAP", "NDS", "mIoU", "foreground_mIoU", "delta_mtl", "lambda_mtl", "gamma_task", "gamma_task_weighted",
                          "gamma_modal", "norm_ratio", "branch_norm_ratio", "gate_ratio", "cosine", "conflict_share",
                          "parameters", "training_seconds", "peak_bytes"}) {
    if (out.sheet.column(key) == nullptr) {
      FigureColumn column;
      column.key = column.label = key;
      out.sheet.columns.push_back(column);
    }
  }
  return out;
}

Json columns_of(const ExperimentSheet& sheet) {
  Json out = Json::array();
  for (const FigureColumn& column : sheet.columns) {
    out.push_back({{"key", column.key},
                   {"label", column.label},
                   {"better", column.lower_is_better ? "low" : "high"},
                   {"scale", column.scale},
                   {"decimals", column.decimals}});
  }
  return out;
}

Json figures_of(const ExperimentSheet& sheet, const RowFigures& row, const ExperimentRun& run) {
  Json out = Json::object();
  for (std::size_t r = 0; r < row.runs.size(); ++r) {
    for (std::size_t c = 0; row.runs[r] == &run && c < sheet.columns.size(); ++c) {
      if (std::isfinite(row.cells[c].values[r])) {
        out[sheet.columns[c].key] = row.cells[c].values[r];
      }
    }
  }
  return out;
}

/// The tasks that a run names; none where it was not read.
std::vector<std::string> tasks_of(const RowFigures& row, const ExperimentRun& run) {
  const auto found = std::find(row.runs.begin(), row.runs.end(), &run);
  return found == row.runs.end() ? std::vector<std::string>()
                                 : row.group.runs[static_cast<std::size_t>(found - row.runs.begin())].facts.tasks;
}

Json run_of(const ExperimentSheet& sheet, const RowFigures& row, const ExperimentRun& run) {
  Json out = {{"name", run.folder.filename().string()}, {"seed", run.seed}, {"state", text_of(run.state)}};
  if (!run.message.empty()) {
    out["message"] = run.message;
  }
  if (const std::vector<std::string> tasks = tasks_of(row, run); !tasks.empty()) {
    out["tasks"] = tasks;
  }
  out["figures"] = figures_of(sheet, row, run);
  out["wall_seconds"] = number(run.wall_seconds);
  out["begun"] = run.begun;
  out["commit"] = run.commit;
  out["version"] = run.version;
  out["libtorch"] = run.libtorch;
  out["machine"] = run.machine;
  out["train"] = shell_text(run.train_command);
  out["eval"] = shell_text(run.eval_command);
  return out;
}

Json row_of(const FinishedExperiment& experiment, const RowFigures& figures) {
  const ExperimentRow& row = *figures.row;
  Json out = {{"key", row.key}, {"block", row.block}, {"label", row.label}};
  if (!row.needs.empty()) {
    out["needs"] = row.needs;
  }
  Json mean = Json::object();
  Json difference = Json::object();
  for (std::size_t c = 0; c < figures.cells.size(); ++c) {
    const FigureCell& cell = figures.cells[c];
    const std::string& key = experiment.sheet.columns[c].key;
    const auto seeds = std::count_if(cell.values.begin(), cell.values.end(), [](double value) { return std::isfinite(value); });
    if (seeds > 0) {
      mean[key] = {{"mean", number(cell.mean)}, {"half_width", number(cell.half_width)}, {"seeds", seeds}};
    }
    if (cell.difference.runs > 0) {
      difference[key] = {{"mean", number(cell.difference.value)},
                         {"half_width", number(cell.difference.half_width)},
                         {"pairs", cell.difference.runs}};
    }
  }
  out["mean"] = mean;
  if (!row.baseline.empty()) {
    out["baseline"] = row.baseline;
    out["difference"] = difference;
  }
  out["paper"] = row.paper;
  out["runs"] = Json::array();
  for (const ExperimentRun* run : experiment.of_row(row.key)) {
    out["runs"].push_back(run_of(experiment.sheet, figures, *run));
  }
  return out;
}

/// "24.5 ± 0.6 (59.1)": mean and half width, and the paper's figure.
std::string text_of(const FigureCell& cell, int decimals) {
  char text[64] = "-";
  if (std::isfinite(cell.half_width)) {
    std::snprintf(text, sizeof text, "%.*f ± %.*f", decimals, cell.mean, decimals, cell.half_width);
  } else if (std::isfinite(cell.mean)) {
    std::snprintf(text, sizeof text, "%.*f", decimals, cell.mean);
  } else if (!std::isfinite(cell.paper)) {
    return "";
  }
  if (!std::isfinite(cell.paper)) {
    return text;
  }
  char beside[32];
  std::snprintf(beside, sizeof beside, " (%.*f)", decimals, cell.paper);
  return std::string(text) + beside;
}

}  // namespace

Json results_json(const FinishedExperiment& experiment) {
  const ExperimentSheet& sheet = experiment.sheet;
  Json out = {{"experiment", sheet.name},
              {"paper", sheet.paper},
              {"place", sheet.place},
              {"title", sheet.title},
              {"shows", sheet.shows},
              {"expected", sheet.expected},
              {"size", experiment.size},
              {"device", experiment.device},
              {"quick", experiment.quick},
              {"data", experiment.data},
              {"training_samples", number(experiment.training_samples)},
              {"evaluation_samples", number(experiment.evaluation_samples)},
              {"repeat", shell_text(experiment.repeat)},
              {"columns", columns_of(sheet)},
              {"rows", Json::array()}};
  const FinishedExperiment wide = with_all_columns(experiment);
  for (const RowFigures& row : experiment_figures(wide).rows) {
    out["rows"].push_back(row_of(wide, row));
  }
  return out;
}

void write_results(const std::filesystem::path& folder, const FinishedExperiment& experiment) {
  const Json json = results_json(experiment);
  example::write_file(folder / "results.json", json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::string results_text(const FinishedExperiment& experiment) {
  const ExperimentSheet& sheet = experiment.sheet;
  std::vector<std::vector<std::string>> table = {{""}};
  for (const FigureColumn& column : sheet.columns) {
    table[0].push_back(column.label + (column.lower_is_better ? " (low is good)" : ""));
  }
  std::string block;
  const ExperimentFigures figures = experiment_figures(experiment);
  for (const RowFigures& row : figures.rows) {
    if (experiment.of_row(row.row->key).empty()) {
      continue;
    }
    if (row.row->block != block) {
      block = row.row->block;
      table.push_back({block});
      table.back().resize(table[0].size());
    }
    table.push_back({(block.empty() ? "" : "  ") + row.row->label});
    for (std::size_t c = 0; c < row.cells.size(); ++c) {
      table.back().push_back(text_of(row.cells[c], sheet.columns[c].decimals));
    }
  }
  std::string text = example::text_table(table) + "Mean over the seeds";
  text += " with its 95 % interval where there are two or more; in brackets the paper's, at full size on nuScenes.\n";
  return text;
}

}  // namespace bevfusion
