// SPDX-License-Identifier: Apache-2.0
// A custom rule: what a task's gradient counts is the inverse of its length, and less the more it points against the
// others.
#include <cstdio>

#include <torch/torch.h>
#include <fuller/eigen.hpp>
#include <fuller/fuller.hpp>

/// w_i ~ max(mean cosine of g_i with all tasks' gradients, 0.01) / |g_i|, adding up to the number of tasks.
struct Agreement {
  static constexpr const char* name = "Agreement";

  void operator()(const fuller::EigenEvidence& e, Eigen::Ref<Eigen::VectorXd> w) const {
    const Eigen::VectorXd norms = e.gram.diagonal().cwiseSqrt();
    const Eigen::VectorXd inverse = (norms.array() > 0).select(norms.array().inverse(), 0);  // 0 for absent tasks
    const Eigen::MatrixXd cosines = inverse.asDiagonal() * e.gram * inverse.asDiagonal();
    w = cosines.rowwise().mean().array().max(0.01) * inverse.array();
    w *= e.tasks / w.sum();
  }
};

int main() {
  torch::manual_seed(1);
  torch::nn::Linear shared(6, 12);
  std::vector<torch::nn::Linear> head = {torch::nn::Linear(12, 1), torch::nn::Linear(12, 1), torch::nn::Linear(12, 1)};
  std::vector<torch::Tensor> parameters = shared->parameters();
  for (auto& layer : head) {
    for (const auto& parameter : layer->parameters()) {
      parameters.push_back(parameter);
    }
  }
  torch::optim::SGD optimizer(parameters, 0.1);
  const auto x = torch::randn({128, 6});
  // Two tasks that look at the same, and one that looks at something else and is twenty times as loud.
  const auto sum = torch::tanh(x.sum(1, true));
  const std::vector<torch::Tensor> targets = {sum, 0.8 * sum, x.slice(1, 0, 1) * x.slice(1, 1, 2)};
  const std::vector<double> loudness = {1, 1, 20};

  fuller::Calibration calibration(fuller::EigenRule{Agreement{}}, {"first", "second", "loud"});
  for (int step = 0; step <= 60; ++step) {
    const auto z = calibration.fork<3>(torch::tanh(shared(x)));
    std::vector<torch::Tensor> losses;
    for (std::size_t task = 0; task < 3; ++task) {
      losses.push_back(loudness[task] * torch::mse_loss(head[task](z[task]), targets[task]));
    }
    const auto loss = calibration.sum(losses);
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    if (step % 20 == 0) {
      const auto seen = calibration.diagnostics();
      std::printf("step %2d   losses %.3f %.3f %.3f   weights %.3f %.3f %.3f\n", step, losses[0].item<double>(),
                  losses[1].item<double>(), losses[2].item<double>(), seen.weights[0], seen.weights[1], seen.weights[2]);
    }
  }
}
