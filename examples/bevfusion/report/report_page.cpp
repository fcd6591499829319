// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/report_page.hpp"

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bevfusion/report/attention_section.hpp"
#include "bevfusion/report/detail_tables.hpp"
#include "bevfusion/report/outcome.hpp"
#include "bevfusion/report/provenance_tables.hpp"
#include "bevfusion/report/report_plots.hpp"
#include "bevfusion/report/report_tables.hpp"
#include "bevfusion/tasks/task_sheet.hpp"
#include "support/page.hpp"
#include "support/svg.hpp"

namespace bevfusion {
namespace {

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

void section(example::Page& page, const std::string& heading, const std::string& explain, const StyledTable& table) {
  if (table.rows.size() < 2) {
    return;
  }
  page.heading(heading);
  if (!explain.empty()) {
    page.paragraph(explain);
  }
  page.table(table.rows, table.bold);
}

/// What the columns of the results are, for those that are there.
std::string definitions(const TableRows& results, const std::vector<RunGroup>& groups, const ComparisonOptions& options) {
  std::string text = "Mean ± standard deviation over the runs of one name; the best of a column is bold.";
  for (const std::string& column : results[0]) {
    if (column.rfind("Δ_MTL", 0) == 0) {
      text += " Δ_MTL = (relative drops of the figures of a run's tasks against the single-task runs, summed) / " +
              divisor_text(groups, &RunGroup::delta_divisor) + ".";
    } else if (column.rfind("Λ_MTL", 0) == 0) {
      text += " Λ_MTL = (gains of the same over " + options.baseline + ", summed) / " +
              divisor_text(groups, &RunGroup::lambda_divisor) + ".";
    }
  }
  for (const RunGroup& group : groups) {
    text += group.missing_for_delta.empty() ? "" : " Δ_MTL of " + group.name + " needs " + group.missing_for_delta + ".";
    text += group.missing_for_lambda.empty() ? "" : " Λ_MTL of " + group.name + " needs " + group.missing_for_lambda + ".";
  }
  return text;
}

void what_came_out(example::Page& page, const std::vector<RunGroup>& groups, int baseline, const ComparisonOptions& options) {
  for (const std::string& sentence : outcome_sentences(groups, baseline)) {
    page.raw("<p class=\"outcome\">" + example::escaped(sentence) + "</p>\n");
  }
  const StyledTable results = result_table(groups);
  page.table(results.rows, results.bold);
  page.paragraph(definitions(results.rows, groups, options));
  const std::vector<std::string> warned = cautions(groups);
  if (!warned.empty()) {
    page.raw("<ul class=\"caution\">\n");
    for (const std::string& caution : warned) {
      page.raw("<li>" + example::escaped(caution) + "</li>\n");
    }
    page.raw("</ul>\n");
  }
}

void figures(example::Page& page, const PlottedGroups& plotted) {
  std::vector<std::string> plots;
  for (const FigureSheet& figure : figure_sheets()) {
    if (has_course(plotted, figure.name)) {
      plots.push_back(plot_over_epochs(plotted, figure.title, "", evaluated(figure.name), /*may_be_logarithmic=*/false));
    }
  }
  section(page, "On the way", "Evaluations during training. Bands go from the lowest to the highest run of a name.", plots);
  for (const TaskSheet& task : task_sheets()) {
    for (const DetailSheet& detail : task.details) {
      section(page, detail.heading, detail.text, detail_table(plotted.groups, detail));
    }
  }
  const TableRows missing = without_empty_columns(missing_rows(plotted.groups));
  section(page, "Without a sensor", "The map of the sensor is replaced by zeros before the fuser.", StyledTable(missing));
}

void gradients(example::Page& page, const PlottedGroups& plotted) {
  page.heading("Gradients");
  page.paragraph(
      "γ_task: the ratio of the tasks' gradient norms on the last shared layer (FULLER, Eq. 2); weighted: after the tasks' "
      "weights. γ_modal: the same of the sensors, LiDAR over camera, on their slices of the fusion weight (Eq. 4). Logs that "
      "name no "
      "pair of tasks have the larger over the smaller. The distributions have a long tail, so median and mean are both shown. "
      "Conflicts: pairs of tasks whose gradients point against each other.");
  page.table(without_empty_columns(gradient_rows(plotted.groups)), {});
  page.figures(ratio_plots(plotted));
  section(
      page, "Who leads",
      "Norms and ratios step by step, medians of stretches of steps: above 1, detection or the LiDAR has the larger gradient. Of "
      "the gates the camera's over the LiDAR's: above 1, the LiDAR is held back.",
      lead_plots(plotted));
  std::vector<std::string> directions;
  for (const auto& [name, title] :
       {std::pair("conflict_share", "share of conflicting pairs"), {"cosine", "cosine of task gradients"}}) {
    if (plotted.have(name)) {
      directions.push_back(
          plot_over_epochs(plotted, title, "mean of the epoch", logged(name, &EpochFigures::mean), /*may_be_logarithmic=*/false));
    }
  }
  section(page, "Conflicts", "", directions);
}

void training(example::Page& page, const PlottedGroups& plotted) {
  section(page, "Weights of the tasks", "", plots_by_name(plotted, "weights/", "", true));
  section(page, "Gates of the sensors", "", plots_by_name(plotted, "gates/", "", false));
  section(page, "Losses", "Of the training batches, unweighted.", plots_by_name(plotted, "losses/", "", true));
  section(page, "Losses of twins", "Of networks or heads that were trained beside.", plots_by_name(plotted, "twins/", "", true));
  std::vector<std::string> optimiser;
  for (const auto& [name, title, unit] : {std::tuple("learning_rate", "learning rate", ""),
                                          std::tuple("gradient_norm", "norm of the whole gradient", "before clipping")}) {
    if (plotted.have(name)) {
      optimiser.push_back(plot_over_steps(plotted, title, unit, name));
    }
  }
  section(page, "Optimiser", "", optimiser);
}

void attention(example::Page& page, const std::vector<RunGroup>& groups, const std::filesystem::path& folder) {
  const std::string pictures = attention_section(groups, folder);
  if (!pictures.empty()) {
    page.heading("Where sensors look at each other");
    page.paragraph(
        "By the fuser's cross attention, scale by scale: from above, to the left what the LiDAR's window reads of the cameras' "
        "map, "
        "to the right what the cameras' window reads of the LiDAR's; in the pictures, what the LiDAR's window reads. The window "
        "that "
        "asks has a blue border. Of one sample; the run's own page has others.");
    page.raw(pictures);
  }
}

void provenance(example::Page& page, const std::vector<RunGroup>& groups, const std::filesystem::path& folder) {
  section(page, "What the names differ in", "Fields of the runs' configs.", StyledTable(config_rows(groups)));
  section(page, "Runs", "", StyledTable(without_empty_columns(run_rows(groups))));
  page.raw("<ul class=\"files\">\n");
  for (const RunGroup& group : groups) {
    for (const RunRecord& run : group.runs) {
      page.raw(links_to(run, folder));
    }
  }
  page.raw("</ul>\n");
}

}  // namespace

void write_page(const std::filesystem::path& file, const std::vector<RunGroup>& groups, const ComparisonOptions& options) {
  const int baseline = baseline_among(groups, options.baseline);
  const PlottedGroups plotted{groups, colours_of(groups, baseline)};
  example::Page page("Training runs compared");
  page.raw(
      "<style>.outcome { font-size: 1.08rem; } .caution { color: var(--c1); } .files { padding-left: 1.1rem; }"
      " .attention img { max-width: 100%; height: auto; display: block; margin: .4rem 0; }</style>\n");
  std::vector<std::pair<std::string, int>> names;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    names.emplace_back(groups[g].name + (static_cast<int>(g) == baseline && groups[g].name != "baseline" ? " (baseline)" : ""),
                       plotted.colours[g]);
  }
  page.coloured_legend(names);
  what_came_out(page, groups, baseline, options);
  figures(page, plotted);
  gradients(page, plotted);
  training(page, plotted);
  attention(page, groups, std::filesystem::absolute(file).parent_path());
  provenance(page, groups, std::filesystem::absolute(file).parent_path());
  page.write(file.string());
}

}  // namespace bevfusion
