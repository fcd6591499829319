// SPDX-License-Identifier: Apache-2.0
#pragma once

// The steps that the archives of 0.1.0 were saved in the middle of: numbers by formulas, so that every version and every LibTorch
// takes the same ones. In the interface that 0.1.0 had.

#include <cstdio>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <fuller/eigen.hpp>
#include <fuller/fuller.hpp>

namespace archives {

/// A rule of a user's: 0.1.0 saved it under another name.
struct Inverse {
  void operator()(const fuller::EigenEvidence& seen, Eigen::Ref<Eigen::VectorXd> weights) const {
    weights = seen.gram.diagonal().cwiseSqrt().cwiseInverse();
  }
};

inline at::Tensor waves(std::int64_t rows, std::int64_t columns, double shift) {
  return torch::sin(torch::arange(rows * columns, torch::kDouble) * 0.7 + shift).reshape({rows, columns});
}

/// One backward, its gradients, and the end of an epoch after every second.
inline void step(fuller::Calibration& calibration, bool gated, int k) {
  const auto trained = [](at::Tensor tensor) { return tensor.requires_grad_(); };
  const at::Tensor lidar = trained(waves(3, 4, 0.1));
  const at::Tensor camera = trained(waves(2, 4, 0.2) * 4);
  const at::Tensor fusion = trained(waves(3, 5, 0.3));
  at::Tensor a = torch::linear(waves(6, 4, k), lidar);
  at::Tensor b = torch::linear(waves(6, 4, k + 0.5), camera);
  if (gated) {
    const auto through = calibration.gate<2>({a, b}, fusion);
    a = through[0];
    b = through[1];
  }
  const auto z = calibration.fork<3>(torch::linear(torch::cat({a, b}, 1), fusion));
  std::vector<at::Tensor> losses;
  for (int task = 0; task < 3; ++task) {
    const at::Tensor head = waves(1, 3, 0.4 + task);
    losses.push_back((torch::linear(z[static_cast<std::size_t>(task)], head) - task).pow(2).mean() * (1 + 4 * task + 0.3 * k));
  }
  calibration.sum(losses).backward();
  if (k % 2 == 1) {
    calibration.end_epoch();
  }
}

constexpr int saved_after = 5;
constexpr int steps = 9;

struct Case {
  std::string file;
  bool gated;
  std::function<fuller::Calibration()> make;
};

inline std::vector<Case> cases() {
  const std::vector<std::string> tasks{"a", "b", "c"};
  const auto plain = [tasks](auto rule) { return [tasks, rule] { return fuller::Calibration(rule, tasks); }; };
  const auto gates = [tasks](auto rule) {
    return [tasks, rule] {
      fuller::Calibration calibration(rule, tasks);
      calibration.modalities(fuller::ModalityGate(), {"lidar", "camera"});
      return calibration;
    };
  };
  fuller::GradNormOptions adam;
  adam.optimizer = fuller::GradNormOptions::Optimizer::adam;
  fuller::WPCGrad<fuller::PhaseSchedule> phases(fuller::PhaseSchedule(4, {{0.5, 1}, {1.0, -1}}));
  return {{"grad_norm", false, plain(fuller::GradNorm())},
          {"grad_norm_adam", false, plain(fuller::GradNorm(adam))},
          {"dwa", false, plain(fuller::DWA())},
          {"pcgrad", false, plain(fuller::PCGrad())},
          {"wpcgrad_dtp", false, plain(fuller::WPCGrad<>())},
          {"wpcgrad_phases", false, plain(phases)},
          {"uniform", false, plain(fuller::Uniform())},
          {"imtl_g_gated", true, gates(fuller::IMTL_G())},
          {"grad_norm_gated", true, gates(fuller::GradNorm())}};
}

}  // namespace archives
