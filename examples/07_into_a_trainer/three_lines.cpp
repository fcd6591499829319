// SPDX-License-Identifier: Apache-2.0
// The same trainer, three lines changed: no fork, no change of the model. Task gradients are compared on all shared parameters.
#include <cstdio>
#include <utility>

#include <torch/torch.h>
#include <fuller/fuller.hpp>

struct Model : torch::nn::Module {
  torch::nn::Linear first{register_module("first", torch::nn::Linear(16, 32))};
  torch::nn::Linear second{register_module("second", torch::nn::Linear(32, 32))};
  torch::nn::Linear classes{register_module("classes", torch::nn::Linear(32, 4))};
  torch::nn::Linear metres{register_module("metres", torch::nn::Linear(32, 1))};

  std::pair<torch::Tensor, torch::Tensor> forward(const torch::Tensor& x) {
    const auto z = torch::relu(second(torch::relu(first(x))));
    return {classes(z), metres(z)};
  }
};

int main() {
  torch::manual_seed(1);
  Model model;
  torch::optim::Adam optimizer(model.parameters(), 1e-2);
  const auto x = torch::randn({256, 16});
  const auto label = x.slice(1, 0, 4).argmax(1);
  const auto distance = 30 + 10 * x.slice(1, 3, 4).sin();  // in metres: a squared error hundreds of times a cross entropy

  fuller::Calibration calibration(fuller::IMTL_G(), {"label", "distance"}, {fuller::Surface::all_shared});
  for (int step = 0; step <= 200; ++step) {
    const auto [logits, depth] = model.forward(x);
    const auto loss = calibration.sum({torch::nn::functional::cross_entropy(logits, label), torch::mse_loss(depth, distance)});
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    if (step % 50 == 0) {
      const auto right = logits.argmax(1).eq(label).to(torch::kFloat).mean();
      std::printf("step %3d   right %5.1f %%   squared error %8.3f m2\n", step, 100 * right.item<double>(),
                  torch::mse_loss(depth, distance).item<double>());
    }
  }
}
