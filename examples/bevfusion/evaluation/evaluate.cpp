// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/evaluation/evaluate.hpp"

#include "bevfusion/evaluation/predict.hpp"

namespace bevfusion {

EvaluationFigures evaluate(Network& network, const Tables& tables, const std::vector<RowIndex>& samples, const RunConfig& config,
                           const EvaluationOptions& options) {
  EvaluationFigures figures;
  std::vector<std::shared_ptr<TaskFigures>> tasks;
  for (const auto& task : network->tasks()) {
    tasks.push_back(task->figures(tables, config));
    figures.tasks.emplace_back(task->name(), tasks.back());
  }
  predict(
      network, tables, samples, config,
      [&](const SamplePrediction& prediction) {
        ++figures.samples;
        figures.not_finite += prediction.finite ? 0 : 1;
        for (const auto& task : tasks) {
          task->add(prediction);
        }
        if (options.progress) {
          options.progress(1);
        }
      },
      options.failure);
  for (const auto& task : tasks) {
    task->finish();
  }
  return figures;
}

}  // namespace bevfusion
