// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/experiment_origin.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "bevfusion/report/chart.hpp"
#include "bevfusion/report/experiment_page.hpp"
#include "bevfusion/report/experiment_tables.hpp"
#include "bevfusion/report/findings.hpp"
#include "bevfusion/report/styled_table.hpp"

namespace bevfusion {
namespace {

using example::escaped;

/// The different values of the runs, in order.
std::string all_of(const FinishedExperiment& experiment, std::string ExperimentRun::*member) {
  std::string text;
  std::set<std::string> seen;
  for (const ExperimentRun& run : experiment.runs) {
    if (!(run.*member).empty() && seen.insert(run.*member).second) {
      text += (text.empty() ? "" : "; ") + run.*member;
    }
  }
  return text;
}

std::string or_dash(const std::string& text) { return text.empty() ? "-" : text; }

TableRows run_table(const FinishedExperiment& experiment) {
  TableRows rows{{"run", "seed", "state", "minutes", "begun", "ended", "program", "folder"}};
  for (const ExperimentRun& run : experiment.runs) {
    const ExperimentRow* row = experiment.sheet.row(run.row);
    const std::string folder = run.known_from.empty() ? run.folder.lexically_proximate(experiment.folder).generic_string()
                                                      : "known from " + run.known_from;
    rows.push_back({row == nullptr ? run.row : full_name(*row), std::to_string(run.seed), text_of(run.state),
                    std::isfinite(run.wall_seconds) ? decimal(run.wall_seconds / 60, 1) : "-", or_dash(run.begun),
                    or_dash(run.ended), or_dash(run.commit), folder});
  }
  return without_empty_columns(rows);
}

std::string pre(const std::string& text, const std::string& about) {
  return "<pre tabindex=\"0\" role=\"group\" aria-label=\"" + escaped(about) + "\">" + escaped(text) + "</pre>\n";
}

std::string commands_html(const FinishedExperiment& experiment) {
  std::string html;
  for (const ExperimentRow& row : experiment.sheet.rows) {
    std::string commands;
    for (const ExperimentRun* run : experiment.of_row(row.key)) {
      for (const auto* words : {&run->train_command, &run->eval_command, &run->predict_command}) {
        commands += words->empty() ? "" : command_line(*words) + "\n";
      }
    }
    if (!commands.empty()) {
      const std::string about = "Commands of " + full_name(row);
      html += "<details><summary>" + escaped(about) + "</summary>" + pre(commands, about) + "</details>\n";
    }
  }
  return html;
}

}  // namespace

std::string command_line(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) {
    const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
             std::string("-_./=:,+@%").find(c) != std::string::npos;
    });
    line += line.empty() ? "" : " ";
    if (plain) {
      line += word;
      continue;
    }
    line += '\'';
    for (const char c : word) {
      line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    }
    line += '\'';
  }
  return line;
}

std::string origin_html(const FinishedExperiment& experiment) {
  std::string html = "<p><b>Expected.</b> " + escaped(experiment.sheet.expected) + "</p>\n";
  TableRows facts{{"what", "which"}};
  for (const auto& [name, value] : {std::pair<std::string, std::string>("data", experiment.data),
                                    {"fuller", all_of(experiment, &ExperimentRun::version)},
                                    {"program", all_of(experiment, &ExperimentRun::commit)},
                                    {"LibTorch", all_of(experiment, &ExperimentRun::libtorch)},
                                    {"machine", all_of(experiment, &ExperimentRun::machine)}}) {
    if (!value.empty()) {
      facts.push_back({name, value});
    }
  }
  html += facts.size() < 2 ? "" : "<div class=\"words\">" + plain_table_html(facts, "Data, versions and machine") + "</div>\n";
  if (!experiment.repeat.empty()) {
    html += "<p>All of it again:</p>\n" + pre(command_line(experiment.repeat), "The command that repeats the experiment");
  }
  return html + commands_html(experiment) + "<details><summary>All runs</summary>" +
         plain_table_html(run_table(experiment), "All runs, with seed and state") + "</details>\n";
}

}  // namespace bevfusion
