// SPDX-License-Identifier: Apache-2.0
// What calibration costs your own training step, in five lines: the plain step beside the calibrated one, in one run.
#include <iostream>
#include <utility>
#include <vector>

#include <torch/torch.h>
#include <fuller/fuller.hpp>
#include <fuller/measure/overhead.hpp>

namespace {

/// Stands for a trainer of your own: a shared trunk, two heads, an optimiser.
struct Trainer {
  torch::nn::Sequential trunk{torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 32, 3).padding(1)), torch::nn::ReLU(),
                              torch::nn::Conv2d(torch::nn::Conv2dOptions(32, 32, 3).padding(1)), torch::nn::ReLU(),
                              torch::nn::Conv2d(torch::nn::Conv2dOptions(32, 32, 3).padding(1))};
  torch::nn::Sequential seg{torch::nn::ReLU(), torch::nn::Conv2d(32, 6, 1)};
  torch::nn::Sequential depth{torch::nn::ReLU(), torch::nn::Conv2d(torch::nn::Conv2dOptions(32, 1, 3).padding(1))};
  torch::optim::AdamW optimizer{parameters(), 1e-3};
  at::Tensor images = torch::randn({8, 3, 48, 48});
  at::Tensor classes = torch::randint(6, {8, 48, 48});
  at::Tensor metres = torch::rand({8, 1, 48, 48});

  std::vector<at::Tensor> parameters() {
    std::vector<at::Tensor> all;
    for (const auto& part : {trunk, seg, depth}) {
      const std::vector<at::Tensor> some = part->parameters();
      all.insert(all.end(), some.begin(), some.end());
    }
    return all;
  }
  std::pair<at::Tensor, at::Tensor> losses(const at::Tensor& z_seg, const at::Tensor& z_depth) {
    return {torch::cross_entropy_loss(seg->forward(z_seg), classes), torch::l1_loss(depth->forward(z_depth), metres)};
  }
  void plain_step() {
    const at::Tensor z = trunk->forward(images);
    const auto [a, b] = losses(z, z);
    optimizer.zero_grad();
    (a + b).backward();
    optimizer.step();
  }
  void calibrated_step(fuller::Calibration& calibration) {
    const auto [z_seg, z_depth] = calibration.fork<2>(trunk->forward(images));
    const auto [a, b] = losses(z_seg, z_depth);
    const at::Tensor loss = calibration.sum({a, b});
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
  }
};

}  // namespace

int main() {
  torch::manual_seed(1);
  at::set_num_threads(1);
  Trainer trainer;
  fuller::Calibration calibration(fuller::IMTL_G(), {"seg", "depth"});

  const auto plain = [&] { trainer.plain_step(); };
  const auto calibrated = [&] { trainer.calibrated_step(calibration); };
  fuller::OverheadOptions options;
  options.clock = fuller::Clock::thread;  // processor time, which other programs disturb less than elapsed time
  const fuller::Overhead overhead = fuller::measure_overhead(plain, calibrated, options);
  std::cout << overhead;
}
