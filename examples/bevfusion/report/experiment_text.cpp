// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/experiment_text.hpp"

#include <algorithm>
#include <cmath>

#include "bevfusion/report/chart.hpp"
#include "bevfusion/report/experiment_page.hpp"
#include "support/csv.hpp"

namespace bevfusion {
namespace {

using Json = nlohmann::ordered_json;

/// Text as it may stand in a cell of a table.
std::string in_cell(const std::string& text) {
  std::string out;
  for (const char c : text) {
    out += c == '|' ? std::string("\\|") : std::string(1, c == '\n' ? ' ' : c);
  }
  return out;
}

std::string cell_text(const FigureCell& cell, const FigureColumn& column) {
  std::string text = std::isfinite(cell.mean) ? decimal(cell.mean, column.decimals) : "\u2013";
  if (std::isfinite(cell.half_width)) {
    text += " \u00b1 " + decimal(cell.half_width, column.decimals);
  }
  if (std::isfinite(cell.paper)) {
    text += " (" + decimal(cell.paper, column.decimals) + ")";
  }
  return cell.verdict == Verdict::none ? text : text + " " + text_of(cell.verdict);
}

Json difference_json(const FigureCell& cell) {
  return {{"value", cell.difference.value}, {"half_width", cell.difference.half_width},
          {"pairs", cell.difference.runs},  {"pair_deviation", cell.pair_deviation},
          {"paper", cell.paper_difference}, {"verdict", text_of(cell.verdict)}};
}

/// What an index of the run among those of its row that are done; none where it is not among them.
int place_of(const RowFigures& row, const ExperimentRun& run) {
  const auto found = std::find_if(row.runs.begin(), row.runs.end(),
                                  [&](const ExperimentRun* one) { return one->seed == run.seed && one->folder == run.folder; });
  return found == row.runs.end() ? -1 : static_cast<int>(found - row.runs.begin());
}

}  // namespace

std::string experiment_markdown(const FinishedExperiment& experiment, const ExperimentFigures& figures,
                                const std::vector<Finding>& findings) {
  const ExperimentSheet& sheet = experiment.sheet;
  std::string out =
      "# " + sheet.paper + ", " + sheet.place + ": " + sheet.title + "\n\n" + answer(experiment, figures, findings) + "\n\n";
  out += findings.empty() ? "" : tally(findings) + "\n\n";
  for (const std::string& problem : problems(experiment, figures)) {
    out += "- **Not in these figures:** " + in_cell(problem) + "\n";
  }
  out += "\nMeans over the seeds with 95 % intervals, the paper\u2019s figures in brackets.\n\n| row | seeds |";
  std::string rule = "|---|---|";
  for (const FigureColumn& column : sheet.columns) {
    out += " " + in_cell(column.label) + " |";
    rule += "---|";
  }
  out += "\n" + rule + "\n";
  for (const RowFigures& row : figures.rows) {
    out += "| " + in_cell(full_name(*row.row)) + " | " + std::to_string(row.group.runs.size()) + " |";
    for (std::size_t c = 0; c < row.cells.size(); ++c) {
      out += " " + cell_text(row.cells[c], sheet.columns[c]) + " |";
    }
    out += "\n";
  }
  out += findings.empty() ? "" : "\n## What is shown, and what is not\n\n";
  for (const std::string& order : order_sentences(sheet, figures, findings)) {
    out += "- " + order + "\n";
  }
  for (const Finding& one : findings) {
    out += "- " + sentence_of(one) + "\n";
  }
  if (!experiment.repeat.empty()) {
    out += "\nAll of it again:\n\n    " + command_line(experiment.repeat) + "\n";
  }
  return out;
}

std::string experiment_csv(const FinishedExperiment& experiment, const ExperimentFigures& figures) {
  example::CsvLine head;
  head << "row"
       << "block"
       << "label"
       << "seed"
       << "state"
       << "folder";
  for (const FigureColumn& column : experiment.sheet.columns) {
    head << column.key;
  }
  std::string out = head.text() + "\n";
  for (const ExperimentRun& run : experiment.runs) {
    const RowFigures* row = figures.row(run.row);
    const int place = row == nullptr ? -1 : place_of(*row, run);
    example::CsvLine line;
    line << run.row << (row == nullptr ? "" : row->row->block) << (row == nullptr ? "" : row->row->label)
         << std::to_string(run.seed) << text_of(run.state) << run.folder.string();
    for (std::size_t c = 0; c < experiment.sheet.columns.size(); ++c) {
      line << (place < 0 ? std::nan("") : row->cells[c].values[static_cast<std::size_t>(place)]);
    }
    out += line.text() + "\n";
  }
  return out;
}

nlohmann::ordered_json experiment_json(const FinishedExperiment& experiment, const ExperimentFigures& figures,
                                       const std::vector<Finding>& findings) {
  const ExperimentSheet& sheet = experiment.sheet;
  Json out = {{"experiment", sheet.name},
              {"paper", sheet.paper},
              {"place", sheet.place},
              {"title", sheet.title},
              {"size", experiment.size},
              {"device", experiment.device},
              {"quick", experiment.quick},
              {"data", experiment.data},
              {"training_samples", experiment.training_samples},
              {"evaluation_samples", experiment.evaluation_samples},
              {"repeat", experiment.repeat},
              {"answer", answer(experiment, figures, findings)},
              {"problems", problems(experiment, figures)},
              {"rows", Json::array()},
              {"findings", Json::array()},
              {"runs", Json::array()}};
  for (const RowFigures& row : figures.rows) {
    Json of_row = {{"key", row.row->key}, {"block", row.row->block}, {"label", row.row->label}, {"seeds", Json::array()}};
    for (const ExperimentRun* run : row.runs) {
      of_row["seeds"].push_back(run->seed);
    }
    for (std::size_t c = 0; c < row.cells.size(); ++c) {
      const FigureCell& cell = row.cells[c];
      Json& of_cell = of_row["figures"][sheet.columns[c].key];
      of_cell = {{"values", cell.values}, {"mean", cell.mean}, {"half_width", cell.half_width}, {"paper", cell.paper}};
      if (!row.row->baseline.empty()) {
        of_cell["difference"] = difference_json(cell);
      }
    }
    out["rows"].push_back(of_row);
  }
  for (const Finding& one : findings) {
    out["findings"].push_back({{"row", one.row->row->key},
                               {"figure", one.column->key},
                               {"verdict", text_of(one.cell->verdict)},
                               {"seeds_that_would_show_ours", one.seeds_for_ours},
                               {"seeds_that_would_show_the_papers", one.seeds_for_papers},
                               {"text", sentence_of(one)}});
  }
  for (const ExperimentRun& run : experiment.runs) {
    out["runs"].push_back({{"row", run.row},
                           {"seed", run.seed},
                           {"state", text_of(run.state)},
                           {"message", run.message},
                           {"wall_seconds", run.wall_seconds},
                           {"peak_bytes", run.peak_bytes},
                           {"begun", run.begun},
                           {"ended", run.ended},
                           {"commit", run.commit},
                           {"version", run.version},
                           {"libtorch", run.libtorch},
                           {"machine", run.machine},
                           {"train_command", run.train_command},
                           {"eval_command", run.eval_command}});
  }
  return out;
}

}  // namespace bevfusion
