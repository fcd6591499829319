// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/experiment_report.hpp"

#include "bevfusion/report/experiment_figures.hpp"
#include "bevfusion/report/experiment_page.hpp"
#include "bevfusion/report/experiment_text.hpp"
#include "bevfusion/report/findings.hpp"
#include "support/output_file.hpp"

namespace bevfusion {

std::vector<std::string> write_experiment_report(const std::filesystem::path& folder, const FinishedExperiment& experiment) {
  const ExperimentFigures figures = experiment_figures(experiment);
  const std::vector<Finding> findings = findings_of(experiment.sheet, figures);
  std::filesystem::create_directories(folder);
  example::write_file(folder / "index.html", experiment_page(experiment, figures));
  example::write_file(folder / "report.md", experiment_markdown(experiment, figures, findings));
  example::write_file(folder / "runs.csv", experiment_csv(experiment, figures));
  example::write_file(folder / "report.json", experiment_json(experiment, figures, findings).dump(1) + "\n");
  std::vector<std::string> sentences = {answer(experiment, figures, findings)};
  if (!findings.empty()) {
    sentences.push_back(tally(findings));
  }
  return sentences;
}

}  // namespace bevfusion
