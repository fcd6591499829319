// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/experiment_page.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "bevfusion/report/chart.hpp"
#include "bevfusion/report/experiment_charts.hpp"
#include "bevfusion/report/experiment_origin.hpp"
#include "bevfusion/report/experiment_style.hpp"
#include "bevfusion/report/experiment_tables.hpp"
#include "bevfusion/report/findings.hpp"
#include "bevfusion/report/scene_grid.hpp"

namespace bevfusion {
namespace {

using example::escaped;

std::string paragraph(const std::string& text, const char* kind = "") {
  const std::string of_kind = *kind == '\0' ? "" : std::string(" class=\"") + kind + "\"";
  return text.empty() ? "" : "<p" + of_kind + ">" + escaped(text) + "</p>\n";
}

/// Sections that hold something, each with an anchor; the contents list them.
class Sections {
 public:
  void add(const std::string& anchor, const std::string& in_contents, const std::string& heading, const std::string& about,
           const std::string& html) {
    if (!html.empty()) {
      contents_ += "<a href=\"#" + anchor + "\">" + in_contents + "</a>\n";
      body_ += "<h2 id=\"" + anchor + "\">" + heading + "</h2>\n" + paragraph(about) + html;
    }
  }
  std::string contents() const { return "<nav aria-label=\"Parts of this page\">\n" + contents_ + "</nav>\n"; }
  const std::string& body() const { return body_; }

 private:
  std::string contents_, body_;
};

std::string problems_html(const std::vector<std::string>& all) {
  if (all.empty()) {
    return "";
  }
  std::string html = "<section class=\"problems\" aria-labelledby=\"problems\"><h2 id=\"problems\">" +
                     std::string(all.size() == 1 ? "One run is" : std::to_string(all.size()) + " runs are") +
                     " not in these figures</h2>\n<ul>\n";
  for (const std::string& one : all) {
    html += "<li>" + escaped(one) + "</li>\n";
  }
  return html + "</ul></section>\n";
}

/// Name and value, for those that have one.
std::string fact(const std::string& name, const std::string& value) {
  return value.empty() ? "" : "<div><dt>" + escaped(name) + "</dt> <dd>" + escaped(value) + "</dd></div>\n";
}

std::string whole(double value) { return std::isfinite(value) ? decimal(value, 0) : ""; }

std::string facts_html(const FinishedExperiment& experiment) {
  const auto done = std::count_if(experiment.runs.begin(), experiment.runs.end(),
                                  [](const ExperimentRun& run) { return run.state == RunState::done; });
  std::set<std::uint64_t> seeds;
  for (const ExperimentRun& run : experiment.runs) {
    seeds.insert(run.seed);
  }
  return "<dl class=\"facts\">\n" +
         fact("runs", std::to_string(done) + " of " + std::to_string(experiment.runs.size()) + " done") +
         fact("seeds", std::to_string(seeds.size())) +
         fact("size", experiment.size + (experiment.quick ? ", the quick plan" : "")) + fact("device", experiment.device) +
         fact("training samples", whole(experiment.training_samples)) +
         fact("evaluation samples", whole(experiment.evaluation_samples)) + "</dl>\n";
}

std::string effects_html(const ExperimentSheet& sheet, const ExperimentFigures& figures) {
  const std::string charts = effect_charts(sheet, figures);
  return charts.empty()
             ? ""
             : key_html(figures) +
                   "<p class=\"key\"><span><svg width=\"30\" height=\"10\" aria-hidden=\"true\"><line x1=\"1\" y1=\"5\" "
                   "x2=\"29\" y2=\"5\" class=\"series c0\"/><circle cx=\"15\" cy=\"5\" r=\"4\" class=\"f0\"/></svg> ours, "
                   "with the 95 % interval</span> <span><i class=\"diamond\"></i>the paper\u2019s</span></p>\n" +
                   charts;
}

std::string honest_html(const ExperimentSheet& sheet, const ExperimentFigures& figures, const std::vector<Finding>& findings) {
  if (findings.empty()) {
    return "";
  }
  std::string html = "<ul class=\"findings\">\n";
  for (const std::string& order : order_sentences(sheet, figures, findings)) {
    html += "<li>" + escaped(order) + "</li>\n";
  }
  for (const Finding& one : leading_findings(findings)) {
    html += "<li>" + escaped(sentence_of(one)) + "</li>\n";
  }
  return html + "</ul>\n" + findings_html(findings);
}

std::string gradients_html(const ExperimentFigures& figures) {
  const std::string beside = grad_norm_chart(figures);
  const TableRows ratios = ratio_rows(figures);
  return (ratios.size() < 2 ? "" : plain_table_html(ratios, "Ratios of gradients, over all steps")) +
         ratio_charts(figures, "gamma_task", "\u03b3_task: detection over segmentation") + gradient_row_charts(figures) +
         ratio_charts(figures, "gamma_task_spread", "largest over smallest task gradient") +
         ratio_charts(figures, "gamma_task_weighted", "\u03b3_task after the tasks\u2019 weights") +
         (beside.empty() ? "" : "<h3>FULLER beside GradNorm</h3>\n" + beside) +
         ratio_charts(figures, "gamma_modal", "\u03b3_modal: LiDAR over camera") +
         named_charts(figures, "weights/", "Weights of the tasks") + named_charts(figures, "gates/", "Gates of the sensors");
}

}  // namespace

std::vector<std::string> problems(const FinishedExperiment& experiment, const ExperimentFigures& figures) {
  std::vector<std::string> out;
  for (const ExperimentRun& run : experiment.runs) {
    if (run.state != RunState::done) {
      const ExperimentRow* row = experiment.sheet.row(run.row);
      out.push_back((row == nullptr ? run.row : full_name(*row)) + ", seed " + std::to_string(run.seed) + ": " +
                    text_of(run.state) + (run.message.empty() ? "" : " (" + run.message + ")"));
    }
  }
  out.insert(out.end(), figures.unreadable.begin(), figures.unreadable.end());
  return out;
}

std::string experiment_page(const FinishedExperiment& experiment, const ExperimentFigures& figures) {
  const ExperimentSheet& sheet = experiment.sheet;
  const std::vector<Finding> findings = findings_of(sheet, figures);
  const bool printed =
      std::any_of(sheet.rows.begin(), sheet.rows.end(), [](const ExperimentRow& row) { return !row.paper.empty(); });
  Sections sections;
  sections.add("table", "Table", escaped(sheet.place) + (printed ? ", ours and the paper\u2019s" : ", ours"),
               std::string("The mean over the seeds and its 95 % interval.") +
                   (printed ? " Below it the paper\u2019s, and whether the difference from the baseline, seed by seed, has the "
                              "paper\u2019s direction."
                            : " The paper prints no figures here."),
               results_html(sheet, figures));
  sections.add("effects", "Effects", "What calibration changes", "Each row minus its baseline, of runs of the same seed.",
               effects_html(sheet, figures));
  sections.add("findings", "Findings", "What is shown, and what is not",
               tally(findings) +
                   " An interval misses what it is of once in twenty, so among many a few do by chance. The seeds are "
                   "those of which a test at 5 % would show the difference four times in five.",
               honest_html(sheet, figures, findings));
  sections.add("scenes", "Scenes", "The same scenes, as each row sees them",
               "From above; the car is in the middle, its front up. Boxes that were found lie over the annotated ones.",
               scene_grid(figures, 3));
  sections.add("convergence", "Epochs", "On the way",
               "Figures by epoch, the mean of the seeds, in a band from the least to the most of them. "
               "Dashed: networks for one task alone.",
               convergence_charts(figures));
  sections.add(
      "sensors", "Sensors", "Without a sensor",
      "A whole sensor is zeros in place of its map, a single camera a picture that shows nothing; beams are left out. Bars are "
      "means, lines 95 % intervals.",
      missing_sensor_charts(figures));
  sections.add(
      "gradients", "Gradients", "Gradients of tasks and sensors",
      "A chart a row, pale the others of its part of the table: the median of stretches of steps, in a band from the least "
      "to the most of the seeds. The dotted line is 1, where neither side leads. The distributions have a long tail, so the "
      "table "
      "has median and mean over all steps.",
      gradients_html(figures));
  sections.add("figures", "Figures", "More of the paper\u2019s figures",
               "Step by step, the median of stretches of steps, in a band from the least to the most of the seeds.",
               paper_plots(sheet, figures));
  const TableRows costs = cost_rows(figures);
  sections.add("cost", "Cost", "Time and memory", "Means over the seeds.",
               costs.size() < 2 ? "" : plain_table_html(costs, "Time and memory of each row"));
  sections.add("origin", "Origin", "Where it comes from", sheet.shows, origin_html(experiment));

  const std::string title = sheet.paper + ", " + sheet.place;
  return "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>" +
         escaped(title + ": " + sheet.title) + "</title>\n<style>\n" + experiment_style() +
         "</style></head>\n<body><main>\n<p class=\"kicker\">" + escaped(title) + "</p>\n<h1>" + escaped(sheet.title) +
         "</h1>\n" + paragraph(answer(experiment, figures, findings), "answer") + paragraph(tally(findings), "lead") +
         problems_html(problems(experiment, figures)) + facts_html(experiment) + sections.contents() + sections.body() +
         "</main></body></html>\n";
}

}  // namespace bevfusion
