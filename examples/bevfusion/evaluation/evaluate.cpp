// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/evaluation/evaluate.hpp"

#include <algorithm>
#include <cstdint>

#include "bevfusion/evaluation/predict.hpp"
#include "bevfusion/tasks/packed.hpp"

namespace bevfusion {
namespace {

using Figures = std::vector<std::shared_ptr<TaskFigures>>;

/// The samples of one part: whole batches, so that each is evaluated in the company that it has in one process.
std::vector<RowIndex> samples_of(const std::vector<RowIndex>& samples, const DividedEvaluation& divided, std::int64_t batch) {
  const auto size = static_cast<std::size_t>(std::max<std::int64_t>(1, batch));
  const std::size_t batches = (samples.size() + size - 1) / size;
  const auto first_of = [&](int part) {
    const std::size_t first = batches * static_cast<std::size_t>(part) / static_cast<std::size_t>(divided.of);
    return samples.begin() + static_cast<std::ptrdiff_t>(std::min(samples.size(), first * size));
  };
  return {first_of(divided.part), first_of(divided.part + 1)};
}

/// What a part found, for the first of them.
std::string told(const EvaluationFigures& figures, const Figures& tasks) {
  std::string bytes;
  add_list(bytes, std::vector<std::uint64_t>{figures.samples, figures.not_finite});
  for (const auto& task : tasks) {
    const std::string given = task->given().value();
    add_list(bytes, std::vector<char>(given.begin(), given.end()));
  }
  return bytes;
}

void add_told(const std::string& bytes, EvaluationFigures& figures, const Figures& tasks) {
  PackedReader reader(bytes);
  const std::vector<std::uint64_t> counts = reader.list<std::uint64_t>();
  figures.samples += static_cast<std::size_t>(counts.at(0));
  figures.not_finite += static_cast<std::size_t>(counts.at(1));
  for (const auto& task : tasks) {
    const std::vector<char> given = reader.list<char>();
    task->take({given.begin(), given.end()});
  }
  reader.expect_end();
}

}  // namespace

EvaluationFigures evaluate(Network& network, const Tables& tables, const std::vector<RowIndex>& samples, const RunConfig& config,
                           const EvaluationOptions& options) {
  EvaluationFigures figures;
  Figures tasks;
  for (const auto& task : network->tasks()) {
    tasks.push_back(task->figures(tables, config));
    figures.tasks.emplace_back(task->name(), tasks.back());
  }
  const bool divided = options.divided.of > 1 &&
                       std::all_of(tasks.begin(), tasks.end(), [](const auto& task) { return task->given().has_value(); });
  predict(
      network, tables, divided ? samples_of(samples, options.divided, config.training.batch) : samples, config,
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
  if (divided) {
    const std::vector<std::string> all = options.divided.gather(told(figures, tasks));
    for (std::size_t part = 1; part < all.size(); ++part) {
      add_told(all[part], figures, tasks);
    }
  }
  for (const auto& task : tasks) {
    task->finish();
  }
  return figures;
}

}  // namespace bevfusion
