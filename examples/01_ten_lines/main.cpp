// SPDX-License-Identifier: Apache-2.0
// Two losses, one shared layer. The second loss is nine times as loud; IMTL-G weighs them so that neither drowns the other.
#include <cstdio>

#include <torch/torch.h>
#include <fuller/fuller.hpp>

int main() {
  torch::manual_seed(1);
  torch::nn::Linear shared(8, 16), head_a(16, 1), head_b(16, 1);
  std::vector<torch::Tensor> parameters;
  for (const auto& layer : {shared, head_a, head_b}) {
    parameters.insert(parameters.end(), {layer->weight, layer->bias});
  }
  torch::optim::SGD optimizer(parameters, 0.1);
  const auto x = torch::randn({64, 8});
  const auto target_a = x.slice(1, 0, 1).sin(), target_b = x.slice(1, 1, 2).cos();

  fuller::Calibration calibration(fuller::IMTL_G(), {"a", "b"});
  calibration.name_parameters(shared->named_parameters(), "shared.");  // only so that describe() can say what they are called
  for (int step = 0; step <= 100; ++step) {
    auto [z_a, z_b] = calibration.fork<2>(torch::tanh(shared(x)));
    auto loss = calibration.sum({torch::mse_loss(head_a(z_a), target_a), 9 * torch::mse_loss(head_b(z_b), target_b)});
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    if (step % 20 == 0) {
      const auto seen = calibration.diagnostics();
      std::printf("step %3d   loss %7.4f   weights %.3f %.3f   gradients %.1f times apart, weighted %.1f\n", step,
                  loss.item<double>(), seen.weights[0], seen.weights[1], seen.gamma_task, seen.gamma_task_weighted);
    }
  }
  std::printf("\n%s", calibration.describe().c_str());
}
