// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/commands/score_command.hpp"

#include <fstream>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/metrics/detection_evaluation.hpp"
#include "bevfusion/metrics/detection_json.hpp"
#include "bevfusion/metrics/detection_table.hpp"
#include "bevfusion/metrics/evaluation_sample.hpp"
#include "bevfusion/metrics/submission.hpp"
#include "bevfusion/training/split_samples.hpp"
#include "support/output_file.hpp"

namespace bevfusion {
namespace {

struct ScoreArguments {
  std::string submission;
  std::string data;
  std::string version = "v1.0-trainval";
  std::string split = "val";
  std::string labels = standard_detection_labels;
  std::string out;
};

void score(const ScoreArguments& arguments) {
  const DetectionLabels& labels = label_sets().detection.at(arguments.labels);
  DetectionConfig protocol;
  protocol.classes = evaluated_classes(labels);
  std::ifstream file(arguments.submission, std::ios::binary);
  if (!file || std::filesystem::is_directory(arguments.submission)) {
    throw std::runtime_error(arguments.submission + ": cannot be read");
  }
  const Submission submission = read_submission(file, arguments.submission, protocol.classes);
  const Tables tables = read_tables(arguments.data, arguments.version);
  const SplitSamples split = samples_needed(tables, arguments.split, "--split");
  std::vector<EvaluationSample> samples;
  for (const RowIndex row : split.rows) {
    samples.push_back(evaluation_sample(tables, row, labels));
  }
  const DetectionEvaluation evaluation = evaluate_detection(join(std::move(samples), submission), protocol);
  std::cout << arguments.submission << ", split " << arguments.split << ": " << split.rows.size() << " samples\n\n";
  print_detection(std::cout, evaluation.summary);
  if (!arguments.out.empty()) {
    example::write_file(arguments.out, metrics_summary(evaluation.summary, meta_json(submission)).dump(2) + "\n");
    std::cout << "\nwrote " << arguments.out << '\n';
  }
}

}  // namespace

void add_score_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "score",
      "Evaluate a detection submission (submission.json, of this program or any other) by nuScenes' protocol: mAP, NDS, five\n"
      "errors, as the devkit prints them. The submission has to have every sample of the split, and no other.");
  const auto arguments = std::make_shared<ScoreArguments>();
  command->add_option("--submission", arguments->submission, "The submission")->required()->type_name("FILE");
  command->add_option("--data", arguments->data, "Folder of the data set")->required()->type_name("DIR");
  command->add_option("--version", arguments->version, "Name of the tables' folder in it")
      ->capture_default_str()
      ->type_name("NAME");
  command->add_option("--split", arguments->split, "Split that the submission is of")->capture_default_str()->type_name("NAME");
  command->add_option("--labels", arguments->labels, "Set of labels that the boxes are of")
      ->capture_default_str()
      ->type_name("NAME");
  command->add_option("--out", arguments->out, "Also write the figures, as the devkit's metrics_summary.json")->type_name("FILE");
  command->callback([arguments] { score(*arguments); });
}

}  // namespace bevfusion
