// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>
#include <fuller/fuller.hpp>

#include "../support/garments.hpp"
#include "../support/one_thread.hpp"
#include "../support/parallel.hpp"
#include "../support/statistics.hpp"

namespace example {

constexpr int classes = 10, tasks = 2 * classes;

/// A small trunk and one output for each task.
struct TwentyTasksNetImpl : torch::nn::Module {
  torch::nn::Conv2d conv1{register_module("conv1", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 8, 5).stride(2)))};
  torch::nn::Conv2d conv2{register_module("conv2", torch::nn::Conv2d(torch::nn::Conv2dOptions(8, 16, 5).stride(2)))};
  torch::nn::Linear shared{register_module("shared", torch::nn::Linear(16 * 4 * 4, 32))};
  std::vector<torch::nn::Linear> heads;

  TwentyTasksNetImpl() {
    for (int task = 0; task < tasks; ++task) {
      heads.push_back(register_module("head" + std::to_string(task), torch::nn::Linear(32, 1)));
    }
  }

  /// N x 1 x 28 x 28 to N x 32.
  torch::Tensor trunk(const torch::Tensor& x) {
    return torch::relu(shared(torch::relu(conv2(torch::relu(conv1(x)))).flatten(1)));
  }
};
TORCH_MODULE(TwentyTasksNet);

/// Task i of the first ten: is this a garment of class i? Of the last ten: the same of the picture seen in a mirror.
inline std::vector<std::string> task_names() {
  std::vector<std::string> names;
  for (const std::string suffix : {"", " mirrored"}) {
    for (const char* name : garment_names) {
      names.push_back(name + suffix);
    }
  }
  return names;
}

struct Lessons {
  int epochs = 4;
  std::int64_t batch = 128;
};

/// What one training came to.
struct Outcome {
  std::array<double, tasks> accuracy{};              ///< balanced: mean of the two classes' accuracies, in percent
  std::vector<std::pair<double, double>> conflicts;  ///< epochs passed, share of pairs of tasks in conflict
  double conflict_share = 0;                         ///< mean of those
  double step_seconds = 0;                           ///< median processor time of a step in which nothing extra was measured
};

/// Balanced accuracy of each task in percent: guessing gives 50, however rare the class.
inline std::array<double, tasks> test(TwentyTasksNet& net, const Garments& data) {
  const torch::NoGradGuard no_gradients;
  std::array<double, tasks> accuracy{};
  const auto images = data.images.to(torch::kFloat32).div(255).unsqueeze(1);
  for (int mirrored = 0; mirrored < 2; ++mirrored) {
    const auto z = net->trunk(mirrored ? images.flip({3}) : images);
    for (int c = 0; c < classes; ++c) {
      const auto yes = data.labels == c;
      const auto says_yes = net->heads[static_cast<std::size_t>(mirrored * classes + c)](z).flatten() > 0;
      const double found = says_yes.masked_select(yes).to(torch::kFloat64).mean().item<double>();
      const double false_alarms = says_yes.masked_select(~yes).to(torch::kFloat64).mean().item<double>();
      accuracy[static_cast<std::size_t>(mirrored * classes + c)] = 50 * (found + 1 - false_alarms);
    }
  }
  return accuracy;
}

/// Trains one network. Conflicts are measured every `measure_every` steps, or in each where the rule needs the gradients anyway.
inline Outcome train(fuller::Calibration& calibration, const Lessons& lessons, int measure_every, int seed, const Garments& data,
                     const Garments& test_data, const std::function<void()>& advance) {
  auto net = make_seeded<TwentyTasksNet>(seed);
  auto order = at::detail::createCPUGenerator(static_cast<std::uint64_t>(seed));
  torch::optim::Adam optimizer(net->parameters(), torch::optim::AdamOptions(1e-3));
  const std::int64_t steps = data.labels.size(0) / lessons.batch;
  const auto rare = torch::tensor({static_cast<float>(classes - 1)});  // nine garments of ten are of another class
  Outcome outcome;
  std::vector<double> seconds, shares;
  for (int epoch = 0; epoch < lessons.epochs; ++epoch) {
    const auto shuffled = torch::randperm(data.labels.size(0), order, torch::kInt64);
    for (std::int64_t i = 0; i < steps; ++i) {
      const double begin = thread_seconds();
      const auto batch = shuffled.slice(0, i * lessons.batch, (i + 1) * lessons.batch);
      const auto images = data.images.index_select(0, batch).to(torch::kFloat32).div_(255).unsqueeze(1);
      const auto labels = data.labels.index_select(0, batch);

      const auto z = calibration.fork(net->trunk(torch::cat({images, images.flip({3})})));
      std::vector<torch::Tensor> losses;
      for (int task = 0; task < tasks; ++task) {
        const auto side = z[static_cast<std::size_t>(task)].chunk(2)[static_cast<std::size_t>(task / classes)];
        const auto target = (labels == task % classes).to(torch::kFloat32).unsqueeze(1);
        losses.push_back(
            torch::binary_cross_entropy_with_logits(net->heads[static_cast<std::size_t>(task)](side), target, {}, rare));
      }
      const auto loss = calibration.sum(losses);
      optimizer.zero_grad();
      loss.backward();
      optimizer.step();

      const double taken = thread_seconds() - begin;
      const auto seen = calibration.diagnostics();
      if (!std::isnan(seen.conflict_share)) {
        outcome.conflicts.emplace_back(epoch + static_cast<double>(i + 1) / static_cast<double>(steps), seen.conflict_share);
        shares.push_back(seen.conflict_share);
      }
      if (std::isnan(seen.conflict_share) || measure_every == 0) {
        seconds.push_back(taken);
      }
      advance();
    }
    calibration.end_epoch();
  }
  outcome.accuracy = test(net, test_data);
  outcome.conflict_share = mean(shares);
  outcome.step_seconds = median(seconds);
  return outcome;
}

}  // namespace example
