// SPDX-License-Identifier: Apache-2.0
// Every known rule and gate law as a kernel: 32 lanes of a warp against one lane on the host, on the same evidence, over several
// steps. The two differ by what the device's exp, log and contracted sums differ from the host's. Without a device the program
// ends with the status that CTest reports as "Skipped"; that it was compiled is what was checked then.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "device.cuh"
#include "support/known.hpp"

namespace {

using fuller::testing::OnDevice;
using fuller::testing::require;
using fuller::testing::Warp;

constexpr int steps = 6;
constexpr double tolerance = 1e-9;
int failures = 0;

template <class Rule, int Tasks>
__global__ void run_rule(Rule rule, fuller::Evidence<Tasks> evidence, double* state, double* weights, double* scratch) {
  rule(Warp{}, evidence, state, weights, scratch);
}

template <class Law, int Branches>
__global__ void run_gate(Law law, fuller::BranchEvidence<Branches> evidence, double* state, double* scales, double* scratch) {
  law(Warp{}, evidence, state, scales, scratch);
}

void compare(const std::string& what, const std::vector<double>& host, const std::vector<double>& device) {
  for (std::size_t i = 0; i < host.size(); ++i) {
    const double bound = tolerance * std::max(1.0, std::abs(host[i]));
    if (!(std::abs(host[i] - device[i]) <= bound)) {
      std::cout << what << ": [" << i << "] is " << host[i] << " on the host and " << device[i] << " on the device\n";
      ++failures;
    }
  }
}

/// Gram matrix of T random gradients of 2 T + 3 numbers whose lengths differ by up to a factor of 100.
std::vector<double> random_gram(int T, std::mt19937_64& random) {
  const int D = 2 * T + 3;
  std::normal_distribution<double> normal;
  std::vector<double> g(static_cast<std::size_t>(T) * D);
  for (int i = 0; i < T; ++i) {
    const double length = std::pow(10.0, 2.0 * i / T);
    for (int k = 0; k < D; ++k) {
      g[i * D + k] = length * (normal(random) + 0.3);
    }
  }
  std::vector<double> gram(static_cast<std::size_t>(T) * T);
  for (int i = 0; i < T; ++i) {
    for (int j = 0; j < T; ++j) {
      for (int k = 0; k < D; ++k) {
        gram[i * T + j] += g[i * D + k] * g[j * D + k];
      }
    }
  }
  return gram;
}

template <int Tasks, class Rule>
void check_rule(const Rule& rule, int T, bool run) {
  if (!run) {
    return;
  }
  const std::string what =
      std::string(rule.name) + ", T = " + std::to_string(T) + (Tasks == fuller::dynamic ? " at run time" : "");
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> loss(0.5, 2);
  std::vector<double> state(rule.state_size(T));
  rule.initialise(T, state.data());
  std::vector<double> scratch(rule.scratch_size(T));
  const OnDevice<double> device_state(state);
  const OnDevice<double> device_scratch(scratch);
  for (int step = 0; step < steps; ++step) {
    const std::vector<double> gram = random_gram(T, random);
    std::vector<double> losses(T);
    std::generate(losses.begin(), losses.end(), [&] { return loss(random); });
    std::vector<std::uint8_t> present(T, 1);
    if (T > 2 && step == 3) {
      present[1] = 0;
    }
    std::vector<double> weights(T, -1);
    fuller::Evidence<Tasks> evidence;
    evidence.count = T;
    evidence.gram = gram.data();
    evidence.losses = losses.data();
    evidence.present = present.data();
    evidence.step = step;
    evidence.epoch = step / 2;
    rule(fuller::Serial{}, evidence, state.data(), weights.data(), scratch.data());

    const OnDevice<double> device_gram(gram);
    const OnDevice<double> device_losses(losses);
    const OnDevice<std::uint8_t> device_present(present);
    const OnDevice<double> device_weights(std::vector<double>(T, -2));
    evidence.gram = device_gram.data();
    evidence.losses = device_losses.data();
    evidence.present = device_present.data();
    run_rule<<<1, Warp::count>>>(rule, evidence, device_state.data(), device_weights.data(), device_scratch.data());
    require(cudaGetLastError(), "launch");
    compare(what + ", weights of step " + std::to_string(step), weights, device_weights.read());
    compare(what + ", state after step " + std::to_string(step), state, device_state.read());
  }
}

template <int Tasks>
void check_rules(int T, bool run) {
  fuller::testing::for_every_known_rule(T, [&](const auto& rule) { check_rule<Tasks>(rule, T, run); });
}

template <int Branches, class Law>
void check_gate(const Law& gate, int M, bool run) {
  if (!run) {
    return;
  }
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> squared_norm(0.01, 10);
  std::vector<double> state(gate.state_size(M));
  gate.initialise(M, state.data());
  std::vector<double> scratch(gate.scratch_size(M));
  const OnDevice<double> device_state(state);
  const OnDevice<double> device_scratch(scratch);
  const std::vector<double> sizes(M, 9);
  const std::vector<std::uint8_t> present(M, 1);
  const OnDevice<double> device_sizes(sizes);
  const OnDevice<std::uint8_t> device_present(present);
  for (int step = 0; step < steps; ++step) {
    std::vector<double> squared_norms(M);
    std::generate(squared_norms.begin(), squared_norms.end(), [&] { return squared_norm(random); });
    std::vector<double> scores(M);
    std::generate(scores.begin(), scores.end(), [&] { return squared_norm(random); });
    const OnDevice<double> device_scores(scores);
    std::vector<double> scales(M, -1);
    fuller::BranchEvidence<Branches> evidence;
    evidence.count = M;
    evidence.squared_norms = squared_norms.data();
    evidence.sizes = sizes.data();
    evidence.scores = scores.data();
    evidence.present = present.data();
    gate(fuller::Serial{}, evidence, state.data(), scales.data(), scratch.data());

    const OnDevice<double> device_norms(squared_norms);
    const OnDevice<double> device_scales(std::vector<double>(M, -2));
    evidence.squared_norms = device_norms.data();
    evidence.sizes = device_sizes.data();
    evidence.scores = device_scores.data();
    evidence.present = device_present.data();
    run_gate<<<1, Warp::count>>>(gate, evidence, device_state.data(), device_scales.data(), device_scratch.data());
    require(cudaGetLastError(), "launch");
    compare(std::string(Law::name) + ", scales of step " + std::to_string(step), scales, device_scales.read());
    compare(std::string(Law::name) + ", state after step " + std::to_string(step), state, device_state.read());
  }
}

}  // namespace

int main() {
  std::string reason;
  const bool run = fuller::testing::has_device(reason);
  check_rules<2>(2, run);
  check_rules<3>(3, run);
  check_rules<fuller::dynamic>(5, run);
  check_rules<fuller::dynamic>(64, run);
  fuller::testing::for_every_known_gate([&](const auto& law) {
    check_gate<2>(law, 2, run);
    check_gate<fuller::dynamic>(law, 5, run);
  });
  if (!run) {
    std::cout << "skipped: " << reason << '\n';
    return 77;
  }
  std::cout << (failures == 0 ? "host and device agree\n" : "host and device differ\n");
  return failures == 0 ? 0 : 1;
}
