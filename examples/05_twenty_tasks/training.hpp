// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <torch/torch.h>
#include <fuller/fuller.hpp>

#include "../support/one_thread.hpp"
#include "../support/rule_comparison.hpp"
#include "../support/statistics.hpp"
#include "networks.hpp"
#include "tasks.hpp"

namespace example {

struct Lessons {
  int epochs = 4;
  std::int64_t batch = 128;
  std::string network = "small";  ///< or routing
  NetworkShape shape;
};

inline std::shared_ptr<TwentyTasksNet> make_network(const Lessons& lessons, int seed) {
  if (lessons.network == "routing") {
    return make_seeded<RoutingNetwork>(seed, lessons.shape).ptr();
  }
  return make_seeded<SmallTrunk>(seed, lessons.shape).ptr();
}

/// The answer of each row: the most likely class.
inline torch::Tensor answers(const torch::Tensor& outputs) {
  return outputs.size(1) == 1 ? (outputs.flatten() > 0).to(torch::kInt64) : outputs.argmax(1);
}

/// The mean over the task's pictures in the batch. Of yes and no, yes counts nine times: nine garments of ten are of another
/// class.
inline torch::Tensor loss_of(const torch::Tensor& outputs, const torch::Tensor& targets) {
  if (outputs.size(1) > 1) {
    return torch::cross_entropy_loss(outputs, targets);
  }
  return torch::binary_cross_entropy_with_logits(outputs, targets.to(torch::kFloat32).unsqueeze(1), {}, torch::tensor({9.0F}));
}

/// Balanced accuracy of each task in percent, the mean over its classes: guessing gives 50 of two and 20 of five, however rare a
/// class is.
/// @throws std::runtime_error where a class of a task has no picture
inline std::vector<double> test(TwentyTasksNet& net, fuller::Calibration& calibration, const TaskData& data,
                                const std::vector<std::string>& names) {
  constexpr std::int64_t at_once = 500;
  const torch::NoGradGuard no_gradients;
  net.eval();
  auto seen = torch::zeros({tasks, data.answers}), right = torch::zeros({tasks, data.answers});
  for (std::int64_t begin = 0; begin < data.size(); begin += at_once) {
    const auto batch = make_batch(data.part(torch::arange(begin, std::min(begin + at_once, data.size()))));
    const auto outputs = net.outputs(batch, calibration);
    for (std::size_t task = 0; task < tasks; ++task) {
      if (outputs[task].defined()) {
        const auto& targets = batch.targets[task];
        const auto hit = answers(outputs[task]).eq(targets).to(torch::kFloat32);
        seen[static_cast<std::int64_t>(task)].index_add_(0, targets, torch::ones_like(hit));
        right[static_cast<std::int64_t>(task)].index_add_(0, targets, hit);
      }
    }
  }
  const auto accuracy = (100 * right / seen).mean(1).to(torch::kFloat64).contiguous();
  std::vector<double> of_task(accuracy.data_ptr<double>(), accuracy.data_ptr<double>() + tasks);
  for (std::size_t task = 0; task < tasks; ++task) {
    if (std::isnan(of_task[task])) {
      throw std::runtime_error("a class of the task '" + names[task] +
                               "' is in none of the test pictures; take more of them by --test-samples");
    }
  }
  return of_task;
}

/// Trains one network. Conflicts are measured every `measure_every` steps, or in each where the rule needs the gradients anyway.
inline ManyTasksRun train(fuller::Calibration& calibration, const Lessons& lessons, int measure_every, int seed,
                          const TaskSet& set, const std::function<void()>& advance) {
  const auto net = make_network(lessons, seed);
  auto order = at::detail::createCPUGenerator(static_cast<std::uint64_t>(seed));
  torch::optim::Adam optimizer(net->parameters(), torch::optim::AdamOptions(1e-3));
  const std::int64_t steps = set.train.size() / lessons.batch;
  ManyTasksLog log(measure_every);
  for (int epoch = 0; epoch < lessons.epochs; ++epoch) {
    const auto shuffled = torch::randperm(set.train.size(), order, torch::kInt64);
    for (std::int64_t i = 0; i < steps; ++i) {
      const double begin = thread_seconds();
      const auto batch = make_batch(set.train.part(shuffled.slice(0, i * lessons.batch, (i + 1) * lessons.batch)));
      const auto outputs = net->outputs(batch, calibration);
      std::vector<torch::Tensor> losses(tasks), solved(tasks);
      for (std::size_t task = 0; task < tasks; ++task) {
        if (outputs[task].defined()) {  // a task without a picture in the batch is absent: its loss stays undefined
          losses[task] = loss_of(outputs[task], batch.targets[task]);
          solved[task] = answers(outputs[task]).eq(batch.targets[task]);
        }
      }
      const auto loss = calibration.sum(losses);
      optimizer.zero_grad();
      loss.backward();
      optimizer.step();
      net->hear(solved);

      const double taken = thread_seconds() - begin;
      log.step(epoch + static_cast<double>(i + 1) / static_cast<double>(steps), calibration.diagnostics().conflict_share, taken);
      advance();
    }
    calibration.end_epoch();
  }
  return log.finished(test(*net, calibration, set.test, set.names));
}

}  // namespace example
