// SPDX-License-Identifier: Apache-2.0
// What DMFuser's repository calls MGN, step by step as its training program has it, against a closed form: the weights of its
// losses move by -lr times the loss once an epoch, and by nothing else.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <torch/torch.h>

#include "support/catch.hpp"

namespace {

constexpr std::int64_t tasks = 3;

/// A trunk and a linear head a task, with losses of very different sizes.
struct Net {
  Net() {
    torch::manual_seed(51);
    trunk->to(torch::kDouble);
    for (std::int64_t i = 0; i < tasks; ++i) {
      heads.emplace_back(5, 1);
      heads.back()->to(torch::kDouble);
    }
  }
  std::vector<torch::Tensor> losses(const torch::Tensor& input) {
    const torch::Tensor z = trunk->forward(input).tanh();
    std::vector<torch::Tensor> out;
    for (std::int64_t i = 0; i < tasks; ++i) {
      const torch::Tensor wanted = input.sum(1, true) * static_cast<double>(i + 1);
      out.push_back(std::pow(10.0, static_cast<double>(i - 1)) *
                    (heads[static_cast<std::size_t>(i)]->forward(z) - wanted).abs().mean());
    }
    return out;
  }

  torch::nn::Linear trunk{4, 5};
  std::vector<torch::nn::Linear> heads;
};

/// The sum over tasks of | norm - target |, with the target a constant, as both have it.
/// @param weighted  GradNorm's norms, of w_i L_i; the repository's are of L_i
torch::Tensor balance(Net& net, const std::vector<torch::Tensor>& losses, const std::vector<double>& first,
                      const torch::Tensor& weights, bool weighted) {
  std::vector<torch::Tensor> norms;
  std::vector<torch::Tensor> rates;
  for (std::int64_t i = 0; i < tasks; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const torch::Tensor loss = weighted ? weights[i] * losses[at] : losses[at];
    norms.push_back(torch::autograd::grad({loss}, {net.trunk->weight}, {}, true, true)[0].norm());
    rates.push_back(losses[at].detach() / first[at]);
  }
  const torch::Tensor norm = torch::stack(norms);
  const torch::Tensor rate = torch::stack(rates);
  const torch::Tensor target = (norm.mean() * rate / rate.mean()).pow(1.5).detach();
  return (norm - target).abs().sum();
}

TEST_CASE("the repository's MGN moves each weight by its loss", "[bevfusion][mgn]") {
  Net net;
  constexpr double rate = 1e-3;
  constexpr int epochs = 6;
  torch::Tensor weights = torch::ones({tasks}, torch::kDouble).requires_grad_();
  torch::optim::SGD weight_optimizer({weights}, rate);
  std::vector<torch::Tensor> parameters = net.trunk->parameters();
  torch::optim::SGD optimizer(parameters, 1e-2);
  std::vector<double> closed(tasks, 1.0);
  double farthest = 0;
  for (int epoch = 0; epoch < epochs; ++epoch) {
    std::vector<double> first;
    for (int batch = 0; batch < 4; ++batch) {
      const std::vector<torch::Tensor> losses = net.losses(torch::randn({8, 4}, torch::kDouble));
      if (batch == 0) {  // L_i(0) is that of the same epoch
        for (const torch::Tensor& loss : losses) {
          first.push_back(loss.item<double>());
        }
      }
      torch::Tensor total = torch::zeros({}, torch::kDouble);
      for (std::int64_t i = 0; i < tasks; ++i) {
        total = total + weights[i] * losses[static_cast<std::size_t>(i)];
      }
      const bool last = batch == 3;
      if (last) {
        const torch::Tensor balanced = balance(net, losses, first, weights, /*weighted=*/false);
        CHECK(balanced.item<double>() > 0);
        CHECK_FALSE(torch::autograd::grad({balanced}, {weights}, {}, true, false, /*allow_unused=*/true)[0].defined());
        total = total + balanced;
      }
      optimizer.zero_grad();
      weight_optimizer.zero_grad();
      total.backward();
      optimizer.step();
      if (last) {
        double sum = 0;
        for (std::size_t i = 0; i < closed.size(); ++i) {
          closed[i] -= rate * losses[i].item<double>();
          sum += closed[i];
        }
        weight_optimizer.step();
        const torch::NoGradGuard no_grad;
        weights.mul_(static_cast<double>(tasks) / weights.sum());
        for (std::size_t i = 0; i < closed.size(); ++i) {
          closed[i] *= static_cast<double>(tasks) / sum;
          CHECK(weights[static_cast<std::int64_t>(i)].item<double>() == Approx(closed[i]).epsilon(1e-12));
          farthest = std::max(farthest, std::abs(closed[i] - 1));
        }
      }
    }
  }
  CHECK(farthest > 1e-4);                                        // there was something to see
  CHECK(weights[2].item<double>() < weights[0].item<double>());  // the largest loss loses weight, whatever its gradient
}

TEST_CASE("GradNorm's weights move by norms of gradients", "[bevfusion][mgn]") {
  Net net;
  const torch::Tensor weights = torch::tensor({0.5, 1.0, 1.5}, torch::kDouble).requires_grad_();
  const std::vector<torch::Tensor> losses = net.losses(torch::randn({8, 4}, torch::kDouble));
  const torch::Tensor balanced = balance(net, losses, {1, 1, 1}, weights, /*weighted=*/true);
  const torch::Tensor moves = torch::autograd::grad({balanced}, {weights}, {}, true)[0];
  for (std::int64_t i = 0; i < tasks; ++i) {
    const torch::Tensor& loss = losses[static_cast<std::size_t>(i)];
    const double norm = torch::autograd::grad({loss}, {net.trunk->weight}, {}, true)[0].norm().item<double>();
    CHECK(std::abs(moves[i].item<double>()) == Approx(norm));
    CHECK(std::abs(norm / loss.item<double>() - 1) > 0.01);
  }
}

}  // namespace
