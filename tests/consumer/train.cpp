// SPDX-License-Identifier: Apache-2.0
// fuller::fuller with LibTorch: a training step of two tasks whose losses differ by a factor of a thousand. IMTL-G makes the
// weighted gradients' projections on their mean direction equal, which makes the task with the small loss the heavier one.
#include <torch/torch.h>

#include <fuller/fuller.hpp>

#include <iostream>

int main() {
  torch::manual_seed(0);
  torch::nn::Linear trunk(4, 8);
  torch::nn::Linear head_a(8, 1);
  torch::nn::Linear head_b(8, 1);
  fuller::Calibration calibration(fuller::IMTL_G(), {"a", "b"});

  const auto x = torch::randn({16, 4});
  const auto z = torch::tanh(trunk(x));
  const auto outputs = calibration.fork<2>(z);
  auto loss = calibration.sum({head_a(outputs[0]).pow(2).mean(), 1000 * head_b(outputs[1]).pow(2).mean()});
  loss.backward();

  const auto diagnostics = calibration.diagnostics();
  const double w_a = diagnostics.weights.at(0);
  const double w_b = diagnostics.weights.at(1);
  std::cout << "weights " << w_a << ' ' << w_b << ", trunk's gradient " << trunk->weight.grad().norm().item<double>() << '\n';
  return w_a > 10 * w_b && w_b > 0 ? 0 : 1;
}
