// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/commands/report_command.hpp"

#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "bevfusion/report/comparison.hpp"
#include "bevfusion/report/outcome.hpp"
#include "bevfusion/report/report_page.hpp"
#include "bevfusion/report/report_tables.hpp"
#include "bevfusion/report/styled_table.hpp"
#include "bevfusion/tasks/task_sheet.hpp"
#include "support/folder_lock.hpp"
#include "support/number_range.hpp"
#include "support/output_file.hpp"
#include "support/text_table.hpp"

namespace bevfusion {
namespace {

struct ReportArguments {
  std::vector<std::string> runs;
  std::map<std::string, std::vector<std::string>> single;  ///< by task
  std::string out = "report";
  ComparisonOptions comparison;
};

/// @throws std::invalid_argument for a run that is given twice: it would count as two seeds that agree
std::vector<RunRecord> read_runs(const std::vector<std::string>& choices) {
  std::vector<RunRecord> runs;
  std::set<std::filesystem::path> folders;
  for (const std::string& choice : choices) {
    runs.push_back(read_run(choice));
    if (!folders.insert(std::filesystem::canonical(runs.back().folder)).second) {
      throw std::invalid_argument(runs.back().folder.string() + " is given twice, and would count as two seeds; leave one out");
    }
  }
  return runs;
}

void report(const ReportArguments& arguments) {
  SingleTaskRuns single;
  for (const auto& [task, choices] : arguments.single) {
    single[task] = read_runs(choices);
  }
  const auto groups = compare(read_runs(arguments.runs), single, arguments.comparison);
  const std::filesystem::path out = arguments.out;
  std::filesystem::create_directories(out);
  const example::FolderLock mine(out, "is being written");
  write_page(out / "index.html", groups, arguments.comparison);
  std::string csv;
  for (const std::string& line : csv_lines(groups)) {
    csv += line + "\n";
  }
  example::write_file(out / "runs.csv", csv);
  example::write_file(out / "report.json", report_json(groups, arguments.comparison).dump(1) + "\n");
  for (const std::string& sentence : outcome_sentences(groups, baseline_among(groups, arguments.comparison.baseline))) {
    std::printf("%s\n", sentence.c_str());
  }
  std::printf("\n%s\n%s", example::text_table(without_empty_columns(result_rows(groups))).c_str(),
              example::text_table(without_empty_columns(gradient_rows(groups))).c_str());
  for (const RunGroup& group : groups) {
    if (!group.missing_for_delta.empty()) {
      std::printf("Δ_MTL of %s needs %s\n", group.name.c_str(), group.missing_for_delta.c_str());
    }
    if (!group.missing_for_lambda.empty()) {
      std::printf("Λ_MTL of %s needs %s\n", group.name.c_str(), group.missing_for_lambda.c_str());
    }
  }
  const TableRows missing = without_empty_columns(missing_rows(groups));
  if (missing.size() > 1) {
    std::printf("\n%s", example::text_table(missing).c_str());
  }
  std::printf("\nwrote index.html, runs.csv and report.json to %s\n", out.c_str());
}

}  // namespace

void add_report_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "report",
      "Compare runs: a table here; a page with plots, a CSV and a JSON file in --out. Folders whose names differ in a trailing\n"
      "number alone (fuller-0, fuller-1) are runs of one name; NAME=FOLDER names a run otherwise.");
  const auto arguments = std::make_shared<ReportArguments>();
  command->add_option("runs", arguments->runs, "Folders of runs")->required()->type_name("RUN");
  for (const TaskSheet& task : head_sheets()) {
    command
        ->add_option("--single-" + task.name, arguments->single[task.name],
                     "Runs of a network for " + task.called + " alone, which Delta_MTL compares with")
        ->type_name("RUN");
  }
  command
      ->add_option("--baseline", arguments->comparison.baseline,
                   "Name of the runs that Lambda_MTL is the gain over, such as those of summed losses")
      ->type_name("NAME");
  command
      ->add_option("--delta-divisor", arguments->comparison.delta_divisor,
                   "What Delta_MTL's sum over the metrics (mAP, NDS, mIoU) is divided by: the 2 tasks, as in FULLER's Table 1")
      ->check(example::number_within<double>(1e-6, 1e6))
      ->capture_default_str();
  command
      ->add_option("--lambda-divisor", arguments->comparison.lambda_divisor,
                   "What Lambda_MTL's sum over them is divided by: the 3 metrics, as in FULLER's supplement")
      ->check(example::number_within<double>(1e-6, 1e6))
      ->capture_default_str();
  command->add_option("--out", arguments->out, "Folder of the report; made where it is not there")
      ->capture_default_str()
      ->type_name("DIR");
  command->callback([arguments] { report(*arguments); });
}

}  // namespace bevfusion
