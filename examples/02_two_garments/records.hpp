// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "../support/csv.hpp"
#include "settings.hpp"
#include "summary.hpp"

namespace example {

/// The numbers of the page: metrics.jsonl (one line an epoch), steps.csv (one line a step), results.csv (one line a
/// calibrator).
class Records {
 public:
  /// Opens the files, so that a folder that cannot be written is known before an hour of training.
  explicit Records(const std::string& folder)
      : folder_(folder), metrics_(folder + "/metrics.jsonl"), steps_(folder + "/steps.csv") {
    steps_.line(
        "calibrator,seed,step,epoch,loss_left,loss_right,weight_left,weight_right,cosine,conflict,gamma_task,gamma_task_"
        "weighted");
  }

  void add(const Run& run) {
    for (const auto& epoch : run.epochs) {
      metrics_.line(nlohmann::json{{"calibrator", run.calibrator},
                                   {"seed", run.seed},
                                   {"epoch", epoch.epoch},
                                   {"train_loss", {{"left", epoch.loss[0]}, {"right", epoch.loss[1]}}},
                                   {"test_accuracy", {{"left", epoch.accuracy[0]}, {"right", epoch.accuracy[1]}}},
                                   {"step_cpu_seconds", run.step_seconds}}
                        .dump());
    }
    for (std::size_t i = 0; i < run.steps.size(); ++i) {
      const auto& step = run.steps[i];
      CsvLine line;
      line << run.calibrator << run.seed << static_cast<double>(i + 1) << step.epoch << step.loss[0] << step.loss[1]
           << step.weight[0] << step.weight[1] << step.cosine << step.conflict << step.gamma << step.gamma_weighted;
      steps_.line(line.text());
    }
    metrics_.flush();
    steps_.flush();
  }

  void finish(const std::vector<Summary>& summaries) const {
    LineFile results(folder_ + "/results.csv");
    results.line("calibrator,left,left_sd,right,right_sd,mean,mean_sd,worst,worst_sd,step_time_ratio");
    for (const auto& s : summaries) {
      CsvLine line;
      line << s.key;
      for (const auto& value : {s.left, s.right, s.both, s.worst}) {
        line << value.mean << value.deviation;
      }
      line << s.step_ratio;
      results.line(line.text());
    }
    results.flush();
  }

 private:
  std::string folder_;
  LineFile metrics_, steps_;
};

}  // namespace example
