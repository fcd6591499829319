// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <vector>

#include <torch/torch.h>
#include <fuller/fuller.hpp>

#include "../support/parallel.hpp"
#include "halves.hpp"
#include "network.hpp"

namespace example {

/// One way to train: an optimizer, and what the gate acts on.
struct Arm {
  const char* optimizer;  ///< "SGD" or "AdamW"
  const char* gate;       ///< "off", "gradient" or "update"
};

struct Schedule {
  int epochs = 3;
  std::int64_t batch = 64;
  double alpha = 0.1;  ///< of the gate, Eq. 6
};

/// What a training came to; accuracies in percent.
struct Outcome {
  double garment = 0, upside_down = 0;    ///< with both halves
  double strong_only = 0, weak_only = 0;  ///< of the garment, with the other half blank
  double gamma_raw = 0, gamma_gated = 0;  ///< gamma_modal over all steps (geometric mean), before and after the gates
  double gate_strong = 0, gate_weak = 0;  ///< mean gates
  double moved = 0;                       ///< distance of the strong branch's parameters from where they began
};

inline std::unique_ptr<torch::optim::Optimizer> make_optimizer(const Arm& arm, FusionNet& net) {
  if (std::string(arm.optimizer) == "AdamW") {
    return std::make_unique<torch::optim::AdamW>(net->parameters(), torch::optim::AdamWOptions(1e-3));
  }
  return std::make_unique<torch::optim::SGD>(net->parameters(), torch::optim::SGDOptions(0.05).momentum(0.9));
}

/// Task weights by IMTL-G and, unless off, gates on the branches. With the gate off, the norms are still taken: a floor of 1
/// keeps every gate at 1.
inline fuller::Calibration make_calibration(const Arm& arm, double alpha) {
  fuller::ModalityGateOptions gate;
  gate.alpha = alpha;
  gate.floor = std::string(arm.gate) == "off" ? 1 : gate.floor;
  gate.target = std::string(arm.gate) == "update" ? fuller::GateTarget::update : fuller::GateTarget::gradient;
  fuller::Calibration calibration(fuller::IMTL_G(), {"garment", "upside down"});
  calibration.modalities(fuller::ModalityGate(gate), {"strong", "weak"});
  return calibration;
}

/// Percent of garments named, and of pictures turned the right way up, from the given halves.
inline std::array<double, 2> test(FusionNet& net, const Halves& data, bool with_strong, bool with_weak) {
  const torch::NoGradGuard no_gradients;
  const auto see = [](const torch::Tensor& half, bool seen) { return seen ? half : torch::zeros_like(half); };
  const auto z = net->trunk(net->strong(see(data.strong, with_strong)), net->weak(see(data.weak, with_weak)));
  const auto percent = [](const torch::Tensor& scores, const torch::Tensor& labels) {
    return 100 * (scores.argmax(1) == labels).to(torch::kFloat64).mean().item<double>();
  };
  return {percent(net->garment(z), data.garment), percent(net->upside_down(z), data.upside_down)};
}

inline Outcome train(const Arm& arm, const Schedule& schedule, int seed, const Halves& data, const Halves& test_data,
                     const std::function<void()>& advance) {
  auto net = make_seeded<FusionNet>(seed);
  auto order = at::detail::createCPUGenerator(static_cast<std::uint64_t>(seed));
  auto calibration = make_calibration(arm, schedule.alpha);
  const auto optimizer = make_optimizer(arm, net);
  const auto beginning = torch::nn::utils::parameters_to_vector(net->strong->parameters()).detach().clone();
  const std::int64_t steps = data.garment.size(0) / schedule.batch;
  Outcome outcome;
  double seen_steps = 0;
  for (int epoch = 0; epoch < schedule.epochs; ++epoch) {
    const auto shuffled = torch::randperm(data.garment.size(0), order, torch::kInt64);
    for (std::int64_t i = 0; i < steps; ++i) {
      const auto batch = shuffled.slice(0, i * schedule.batch, (i + 1) * schedule.batch);
      auto [strong, weak] = calibration.gate<2>(
          {net->strong(data.strong.index_select(0, batch)), net->weak(data.weak.index_select(0, batch))}, net->fuse->weight);
      auto [z_garment, z_upside_down] = calibration.fork<2>(net->trunk(strong, weak));
      const auto loss =
          calibration.sum({torch::cross_entropy_loss(net->garment(z_garment), data.garment.index_select(0, batch)),
                           torch::cross_entropy_loss(net->upside_down(z_upside_down), data.upside_down.index_select(0, batch))});
      optimizer->zero_grad();
      loss.backward();
      calibration.step(*optimizer, {net->strong->parameters(), net->weak->parameters()});

      const auto seen = calibration.diagnostics();
      outcome.gate_strong += seen.gates[0];
      outcome.gate_weak += seen.gates[1];
      const double ratio = std::log(seen.branch_norms[0] / seen.branch_norms[1]);
      if (std::isfinite(ratio)) {
        outcome.gamma_raw += std::abs(ratio);
        outcome.gamma_gated += std::abs(ratio + std::log(seen.gates[0] / seen.gates[1]));
        seen_steps += 1;
      }
      advance();
    }
    calibration.end_epoch();
  }
  const double all_steps = static_cast<double>(steps) * schedule.epochs;
  outcome.gate_strong /= all_steps;
  outcome.gate_weak /= all_steps;
  outcome.gamma_raw = std::exp(outcome.gamma_raw / seen_steps);
  outcome.gamma_gated = std::exp(outcome.gamma_gated / seen_steps);
  outcome.moved = (torch::nn::utils::parameters_to_vector(net->strong->parameters()).detach() - beginning).norm().item<double>();
  const auto both = test(net, test_data, true, true);
  outcome.garment = both[0];
  outcome.upside_down = both[1];
  outcome.strong_only = test(net, test_data, true, false)[0];
  outcome.weak_only = test(net, test_data, false, true)[0];
  return outcome;
}

}  // namespace example
