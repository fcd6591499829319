// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include <torch/torch.h>
#include <fuller/fuller.hpp>

#include "../support/one_thread.hpp"
#include "../support/rule_comparison.hpp"
#include "../support/statistics.hpp"
#include "attribute_data.hpp"
#include "network.hpp"

namespace example {

struct Lessons {
  int epochs = 3;
  std::int64_t batch = 64;
  std::int64_t width = 4;  ///< channels of the first stage; Sener and Koltun: 64
  double learning_rate = 1e-3;
};

inline torch::Tensor as_input(const torch::Tensor& images) { return images.to(torch::kFloat32).div_(255); }

/// Of each attribute, how many of 100 test pictures are told wrongly.
inline std::vector<double> test(AttributeNet& net, const AttributeData& data) {
  constexpr std::int64_t at_once = 500;
  const torch::NoGradGuard no_gradients;
  net->eval();
  const auto attributes = static_cast<std::size_t>(data.attributes.size(1));
  std::vector<double> wrong(attributes);
  for (std::int64_t begin = 0; begin < data.size(); begin += at_once) {
    const std::int64_t end = std::min(begin + at_once, data.size());
    const auto z = net->trunk(as_input(data.images.slice(0, begin, end)));
    const auto truth = data.attributes.slice(0, begin, end);
    for (std::size_t a = 0; a < attributes; ++a) {
      const auto says = net->head(a, z).argmax(1).to(torch::kBool);
      wrong[a] += says.ne(truth.select(1, static_cast<std::int64_t>(a))).sum().item<double>();
    }
  }
  for (double& count : wrong) {
    count *= 100 / static_cast<double>(data.size());
  }
  return wrong;
}

/// The error of one who always says what most training pictures are.
inline std::vector<double> error_of_the_commoner(const AttributeSet& set) {
  const auto yes = set.train.attributes.to(torch::kFloat64).mean(0) > 0.5;
  const auto wrong = (100 * set.test.attributes.ne(yes).to(torch::kFloat64).mean(0)).contiguous();
  return {wrong.data_ptr<double>(), wrong.data_ptr<double>() + wrong.numel()};
}

/// Trains one network. Conflicts are measured every `measure_every` steps, or in each where the rule needs the gradients anyway.
inline ManyTasksRun train(fuller::Calibration& calibration, const Lessons& lessons, int measure_every, int seed,
                          const AttributeSet& set, const std::function<void()>& advance) {
  auto net = make_seeded<AttributeNet>(seed, set.names.size(), set.train.images.size(1), set.train.images.size(2), lessons.width);
  auto order = at::detail::createCPUGenerator(static_cast<std::uint64_t>(seed));
  torch::optim::Adam optimizer(net->parameters(), torch::optim::AdamOptions(lessons.learning_rate));
  const std::int64_t steps = set.train.size() / lessons.batch;
  ManyTasksLog log(measure_every);
  for (int epoch = 0; epoch < lessons.epochs; ++epoch) {
    const auto shuffled = torch::randperm(set.train.size(), order, torch::kInt64);
    for (std::int64_t i = 0; i < steps; ++i) {
      const double begin = thread_seconds();
      const auto batch = shuffled.slice(0, i * lessons.batch, (i + 1) * lessons.batch);
      const auto targets = set.train.attributes.index_select(0, batch).to(torch::kInt64);
      const auto z = calibration.fork(net->trunk(as_input(set.train.images.index_select(0, batch))));
      std::vector<torch::Tensor> losses;
      for (std::size_t a = 0; a < z.size(); ++a) {
        losses.push_back(torch::nll_loss(net->head(a, z[a]), targets.select(1, static_cast<std::int64_t>(a))));
      }
      const auto loss = calibration.sum(losses);
      optimizer.zero_grad();
      loss.backward();
      optimizer.step();

      const double taken = thread_seconds() - begin;
      log.step(epoch + static_cast<double>(i + 1) / static_cast<double>(steps), calibration.diagnostics().conflict_share, taken);
      advance();
    }
    calibration.end_epoch();
  }
  return log.finished(test(net, set.test));
}

}  // namespace example
