// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <vector>

#include <torch/torch.h>
#include <fuller/fuller.hpp>

#include "../support/one_thread.hpp"
#include "../support/parallel.hpp"
#include "../support/statistics.hpp"
#include "network.hpp"
#include "overlay.hpp"
#include "settings.hpp"

namespace example {

/// Two garments, two tasks, one network: makes it, trains it under a calibration, tests it after every epoch.
class Training {
 public:
  Training(const Settings& settings, const Pairs& train, const Pairs& test) : settings_(settings), train_(train), test_(test) {}

  /// `advance` hears of every step. Runs may go on beside each other in several threads.
  Run run(const std::string& calibrator, fuller::Calibration& calibration, int seed, const std::function<void()>& advance) {
    net_ = make_seeded<TwoTaskNet>(seed);
    auto order = at::detail::createCPUGenerator(static_cast<std::uint64_t>(seed));
    const auto optimizer = make_optimizer();
    Run run;
    run.calibrator = calibrator;
    run.seed = seed;
    std::vector<double> seconds;
    for (int epoch = 0; epoch < settings_.epochs; ++epoch) {
      const auto shuffled = torch::randperm(train_.left.size(0), order, torch::kInt64);
      EpochRecord record;
      record.epoch = epoch + 1;
      for (std::int64_t batch = 0; batch < settings_.steps_per_epoch(); ++batch) {
        const auto chosen = shuffled.slice(0, batch * settings_.batch, (batch + 1) * settings_.batch);
        const double begin = thread_seconds();
        const auto losses = step(calibration, *optimizer, chosen);
        seconds.push_back(thread_seconds() - begin);
        run.steps.push_back(describe(calibration.diagnostics(), losses));
        run.steps.back().epoch = epoch + static_cast<double>(batch + 1) / static_cast<double>(settings_.steps_per_epoch());
        for (std::size_t task = 0; task < 2; ++task) {
          record.loss[task] += run.steps.back().loss[task] / static_cast<double>(settings_.steps_per_epoch());
        }
        advance();
      }
      calibration.end_epoch();
      record.accuracy = test();
      run.epochs.push_back(record);
    }
    run.step_seconds = median(seconds);
    return run;
  }

 private:
  /// The calibrated training step. Without the calibration it would read `z` for both and `loss_left + loss_right`.
  std::array<torch::Tensor, 2> step(fuller::Calibration& calibration, torch::optim::Optimizer& optimizer,
                                    const torch::Tensor& chosen) {
    const auto images = train_.images.index_select(0, chosen).to(torch::kFloat32).div_(255);
    auto [z_left, z_right] = calibration.fork<2>(net_->trunk(images));
    const auto loss_left = torch::cross_entropy_loss(net_->left(z_left), train_.left.index_select(0, chosen));
    const auto loss_right = torch::cross_entropy_loss(net_->right(z_right), train_.right.index_select(0, chosen));
    const auto loss = calibration.sum({settings_.loss_scale[0] * loss_left, settings_.loss_scale[1] * loss_right});
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    return {loss_left.detach(), loss_right.detach()};
  }

  static StepRecord describe(const fuller::Diagnostics& seen, const std::array<torch::Tensor, 2>& losses) {
    StepRecord record;
    record.loss = {losses[0].item<double>(), losses[1].item<double>()};
    record.weight = {seen.weights[0], seen.weights[1]};
    record.cosine = seen.cosines.empty() ? fuller::Diagnostics::none : seen.cosines[1];
    record.conflict = seen.conflict_share;
    record.gamma = seen.gamma_task;
    record.gamma_weighted = seen.gamma_task_weighted;
    return record;
  }

  std::unique_ptr<torch::optim::Optimizer> make_optimizer() const {
    const auto parameters = net_->parameters();
    const double rate = settings_.learning_rate;
    if (settings_.optimizer == "sgd") {
      return std::make_unique<torch::optim::SGD>(parameters, torch::optim::SGDOptions(rate > 0 ? rate : 0.01).momentum(0.9));
    }
    return std::make_unique<torch::optim::Adam>(parameters, torch::optim::AdamOptions(rate > 0 ? rate : 0.001));
  }

  std::array<double, 2> test() {
    const torch::NoGradGuard no_gradients;
    constexpr std::int64_t piece = 500;
    const std::int64_t count = test_.left.size(0);
    std::array<double, 2> right_ones{};
    for (std::int64_t i = 0; i < count; i += piece) {
      const std::int64_t end = std::min(i + piece, count);
      const auto z = net_->trunk(test_.images.slice(0, i, end).to(torch::kFloat32).div_(255));
      right_ones[0] += (net_->left(z).argmax(1) == test_.left.slice(0, i, end)).sum().item<double>();
      right_ones[1] += (net_->right(z).argmax(1) == test_.right.slice(0, i, end)).sum().item<double>();
    }
    return {100 * right_ones[0] / static_cast<double>(count), 100 * right_ones[1] / static_cast<double>(count)};
  }

  const Settings& settings_;
  const Pairs& train_;
  const Pairs& test_;
  TwoTaskNet net_{nullptr};
};

}  // namespace example
