// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdio>

#include "bevfusion/experiments/experiment_plan.hpp"
#include "support/progress.hpp"
#include "support/text_table.hpp"

namespace bevfusion {
namespace {

std::string count(std::size_t number, const char* one, const char* many) {
  return std::to_string(number) + " " + (number == 1 ? one : many);
}

std::string whole(double number) {
  return std::isfinite(number) ? std::to_string(static_cast<long long>(std::llround(number))) : "an unknown number of";
}

/// "done", "at step 120 of 504", "504 steps"
std::string standing(const PlannedRun& run) {
  if (run.run.state == RunState::done) {
    return run.run.known_from.empty() ? "done" : "known from " + run.run.known_from;
  }
  const std::string steps = whole(run.steps);
  if (run.done_steps > 0) {
    return std::string(text_of(run.run.state)) + " at step " + whole(run.done_steps) + " of " + steps;
  }
  return std::string(text_of(run.run.state)) + ", " + steps + " steps";
}

std::string rows_text(const ExperimentPlan& plan, std::size_t s) {
  std::vector<std::vector<std::string>> table = {{"row", "seed", "how it stands", "about", "folder"}};
  const ExperimentSheet& sheet = plan.sheets[s];
  for (const ExperimentRow& row : sheet.rows) {
    for (const PlannedRun& run : plan.runs) {
      const auto by = std::find_if(run.asked_by.begin(), run.asked_by.end(),
                                   [&](const AskedBy& one) { return one.sheet == s && one.row == row.key; });
      if (by == run.asked_by.end()) {
        continue;
      }
      const bool counted = by == run.asked_by.begin();
      table.push_back({row.key, std::to_string(run.run.seed), standing(run),
                       run.run.state == RunState::done ? ""
                       : counted                       ? example::clock_time(run.seconds)
                                                       : "shared",
                       run.run.folder.filename().string()});
    }
  }
  std::string text = example::text_table(table);
  for (const ExperimentRow& row : sheet.rows) {
    text += row.needs.empty() ? "" : "  not run: " + row.key + ", which needs " + row.needs + "\n";
  }
  return text;
}

std::string standing(const ExperimentSheet& sheet) {
  if (!sheet.cannot.empty()) {
    return "cannot be run: " + sheet.cannot;
  }
  if (!sheet.needs.empty()) {
    return "not yet: needs " + sheet.needs;
  }
  const auto runs =
      std::count_if(sheet.rows.begin(), sheet.rows.end(), [](const ExperimentRow& row) { return row.needs.empty(); });
  std::string text = count(static_cast<std::size_t>(runs), "row", "rows");
  for (const char* size : {"tiny", "small", "full"}) {
    const auto found = sheet.seeds.find(size);
    if (found != sheet.seeds.end()) {
      text +=
          (text.find(':') == std::string::npos ? "; seeds: " : ", ") + std::string(size) + " " + std::to_string(found->second);
    }
  }
  if (const auto left_out = sheet.rows.size() - static_cast<std::size_t>(runs); left_out > 0) {
    text += "; " + count(left_out, "row", "rows") + " not yet";
  }
  return text;
}

}  // namespace

std::string text_of(const ExperimentPlan& plan) {
  std::string text = "data        " + plan.data.root.string() + ", " + plan.data.version + ": ";
  if (plan.data.synth_command.empty()) {
    text += "given\n";
  } else {
    text += whole(plan.data.training_samples) + " samples to train on, " + whole(plan.data.evaluation_samples) +
            " to evaluate on; " +
            (plan.data.there ? "there\n" : "to be written, about " + example::clock_time(plan.data.seconds) + " of one core\n");
  }
  for (const std::filesystem::path& file : plan.options.known) {
    const auto taken = static_cast<std::size_t>(std::count_if(
        plan.runs.begin(), plan.runs.end(), [&file](const PlannedRun& run) { return run.run.known_from == file.string(); }));
    text += "known       " + file.string() + ": " + count(taken, "run", "runs") + " of these" +
            (taken > 0 ? "\n" : " that are not done here; with other settings (--epochs, --size) a run has another name\n");
  }
  for (std::size_t s = 0; s < plan.sheets.size(); ++s) {
    const ExperimentSheet& sheet = plan.sheets[s];
    text += "\n" + sheet.name + ": " + sheet.paper + ", " + sheet.place + ". " + sheet.title + "\n" + rows_text(plan, s);
  }
  const auto done = static_cast<std::size_t>(
      std::count_if(plan.runs.begin(), plan.runs.end(), [](const PlannedRun& run) { return run.run.state == RunState::done; }));
  char step[32];
  std::snprintf(step, sizeof step, "%.3g", plan.seconds_per_step);
  text += "\n" + count(plan.runs.size(), "run", "runs") + ", " + std::to_string(done) + " of them done; " +
          std::to_string(plan.jobs) + " at once; about " + example::clock_time(plan.seconds_left()) + " left (" + step +
          " s a step, " + plan.cost_from + ")\n";
  return text;
}

std::string experiment_list(const std::filesystem::path& configs) {
  std::string text;
  std::string paper;
  for (const std::string& name : experiment_names(configs)) {
    const ExperimentSheet sheet = read_experiment_sheet(configs / "experiments" / (name + ".toml"));
    if (sheet.paper != paper) {
      text += (paper.empty() ? "" : "\n") + sheet.paper + "\n";
      paper = sheet.paper;
    }
    text += "  " + name + std::string(name.size() < 27 ? 27 - name.size() : 1, ' ') + "  " + sheet.place + ": " + sheet.title +
            "\n" + std::string(31, ' ') + standing(sheet) + "\n";
  }
  return text;
}

std::string shell_text(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](unsigned char c) {
      return std::isalnum(c) != 0 || std::string_view("-_=./,:+@%").find(static_cast<char>(c)) != std::string_view::npos;
    });
    std::string quoted = word;
    for (std::size_t at = 0; !plain && (at = quoted.find('\'', at)) != std::string::npos; at += 4) {
      quoted.replace(at, 1, "'\\''");
    }
    text += (text.empty() ? "" : " ") + (plain ? word : "'" + quoted + "'");
  }
  return text;
}

}  // namespace bevfusion
