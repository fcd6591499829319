// SPDX-License-Identifier: Apache-2.0
// A whole calibrated training step on a device, as a user writes it, by the kernels and with its rule on the host, one of its own
// too: it waits for nothing, which LibTorch's own watch over synchronisations says; it equals the step that waits; and captured
// once and replayed it equals the eager run, as do steps with the rule asked and with weights held, captured one of each and
// replayed in turn. Without a device the program ends with the status that CTest reports as "Skipped".

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/torch.h>

#include <cmath>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fuller/engine/host_rules.hpp>
#include <fuller/engine/nvrtc.hpp>
#include <fuller/engine/steps.hpp>
#include <fuller/fuller.hpp>

#include "cuda/device.hpp"

namespace {

using at::Tensor;
using fuller::Calibration;
using fuller::CalibrationOptions;

int failures = 0;

void expect(bool right, const std::string& what) {
  if (!right) {
    std::cout << "wrong: " << what << '\n';
    ++failures;
  }
}

/// Two modalities, a fusion layer, a trunk and two heads, of linear layers, trained by SGD with momentum.
struct Training {
  torch::nn::Linear lidar{5, 16}, camera{7, 24}, fusion{40, 32}, trunk{32, 32};
  torch::nn::Linear first{32, 3}, second{32, 4};
  Tensor points, image;
  Calibration calibration;
  std::unique_ptr<torch::optim::SGD> optimizer;

  explicit Training(Calibration made) : calibration(std::move(made)) {
    torch::manual_seed(1);
    std::vector<Tensor> parameters;
    for (torch::nn::Linear* layer : {&lidar, &camera, &fusion, &trunk, &first, &second}) {
      const at::NoGradGuard no_grad;
      for (const Tensor& parameter : (*layer)->parameters()) {
        Tensor(parameter).copy_(torch::randn(parameter.sizes()) * 0.2);
      }
      (*layer)->to(at::kCUDA);
      for (const Tensor& parameter : (*layer)->parameters()) {
        parameters.push_back(parameter);
      }
    }
    points = torch::randn({64, 5}).to(at::kCUDA);
    image = torch::randn({64, 7}).to(at::kCUDA);
    calibration.modalities(fuller::ModalityGate(), {"lidar", "camera"});
    optimizer = std::make_unique<torch::optim::SGD>(parameters, torch::optim::SGDOptions(1e-3).momentum(0.5));
  }

  void step() {
    optimizer->zero_grad();
    const auto [a, b] = calibration.gate<2>({torch::tanh(lidar(points)), 3 * torch::tanh(camera(image))}, fusion->weight);
    const auto [z1, z2] = calibration.fork<2>(trunk(torch::tanh(fusion(torch::cat({a, b}, 1)))));
    calibration.sum({(first(z1) - 1).square().mean(), 5 * (second(z2) + 1).square().mean()}).backward();
    optimizer->step();
  }

  std::vector<Tensor> parameters() const {
    std::vector<Tensor> all;
    for (const Tensor& parameter : optimizer->param_groups().front().params()) {
      all.push_back(parameter.detach().cpu());
    }
    return all;
  }
};

double difference(const Training& a, const Training& b) {
  double largest = 0;
  const auto of_a = a.parameters();
  const auto of_b = b.parameters();
  for (std::size_t k = 0; k < of_a.size(); ++k) {
    const double off = ((of_a[k] - of_b[k]).norm() / of_b[k].norm()).item<double>();
    largest = std::isfinite(off) ? std::max(largest, off) : INFINITY;
  }
  return largest;
}

using Maker = std::function<Calibration()>;
using Steps = std::shared_ptr<const fuller::Engines>;

std::unique_ptr<Training> make(const Maker& maker, const Steps& steps) {
  auto training = std::make_unique<Training>(maker());
  training->calibration.use(steps);
  return training;
}

/// @param every  the rule is asked in one of so many steps: 1, 2 or 4
void check(const std::string& name, const Maker& maker, const Steps& steps, int every = 1) {
  auto waiting = make(maker, nullptr);
  auto device = make(maker, steps);
  for (int k = 0; k < 3; ++k) {
    waiting->step();
    device->step();
  }
  expect(difference(*device, *waiting) < 1e-5, name + ": a step that does not wait differs from one that does");
  torch::cuda::synchronize();

  c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_ERROR);
  std::string said;
  try {
    for (int k = 0; k < 3; ++k) {
      device->step();
    }
    device->calibration.end_epoch();
  } catch (const std::exception& error) {
    said = error.what();
  }
  c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_DISABLED);
  expect(said.empty(), name + ": a step waits: " + said);

  // The whole training step, optimiser included, captured in a stream of its own after a warm-up there: one of each kind.
  constexpr int warm_up = 4;
  constexpr int replays = 1000;
  auto eager = make(maker, steps);
  auto captured = make(maker, steps);
  for (int k = 0; k < warm_up + replays; ++k) {
    eager->step();
  }
  torch::cuda::synchronize();
  {
    const c10::cuda::CUDAStream stream = c10::cuda::getStreamFromPool();
    const c10::cuda::CUDAStreamGuard guard(stream);
    for (int k = 0; k < warm_up; ++k) {
      captured->step();
    }
    stream.synchronize();
    captured->optimizer->zero_grad();
    at::cuda::CUDAGraph asked;
    at::cuda::CUDAGraph held;
    for (at::cuda::CUDAGraph* const graph : {&asked, &held}) {
      if (graph == &asked || every > 1) {
        graph->capture_begin();
        captured->step();
        graph->capture_end();
      }
    }
    for (int k = 0; k < replays; ++k) {
      (k % every == 0 ? asked : held).replay();
    }
    stream.synchronize();
    expect(captured->calibration.steps() == warm_up + replays, name + ": replays are counted on the device");
    // The layers' own kernels may be chosen otherwise under capture: not to the bit, therefore.
    const double off = difference(*captured, *eager);
    expect(off < 1e-4, name + ": replays differ from eager steps by " + std::to_string(off));
    const auto a = captured->calibration.diagnostics();
    const auto b = eager->calibration.diagnostics();
    expect(a.held_for == b.held_for, name + ": steps since the rule was asked, after the replays");
    for (std::size_t i = 0; i < a.weights.size(); ++i) {
      expect(std::abs(a.weights[i] / b.weights[i] - 1) < 1e-3, name + ": weights after the replays");
      expect(std::abs(a.gates[i] / b.gates[i] - 1) < 1e-3, name + ": gates after the replays");
    }
  }
}

template <class Rule>
void check(const Rule& rule, const CalibrationOptions& options = {}) {
  const Maker maker = [&] { return Calibration(rule, {"one", "two"}, options); };
  check(Rule::name, maker, fuller::steps_on(at::kCUDA), options.every);
  check(std::string(Rule::name) + " on the host", maker, fuller::host_rules_on(at::kCUDA), options.every);
}

/// A rule that the kernels do not know: w_i = 1 / |g_i|, and a count of its calls as state.
struct InverseNorms {
  static constexpr const char* name = "inverse norms";
  static constexpr fuller::Needs needs{true, false};
  static constexpr fuller::Surface default_surface = fuller::Surface::last_shared;
  static constexpr fuller::ApplyTo default_apply_to = fuller::ApplyTo::all;

  int state_size(int /*tasks*/) const { return 1; }
  int scratch_size(int /*tasks*/) const { return 0; }
  void initialise(int /*tasks*/, double* state) const { *state = 0; }
  template <class Lanes, int Tasks>
  void operator()(Lanes, const fuller::Evidence<Tasks>& evidence, double* state, double* weights, double* /*scratch*/) const {
    for (int i = 0; i < evidence.tasks(); ++i) {
      weights[i] = evidence.present[i] != 0 ? 1 / evidence.norm(i) : 0;
    }
    *state += 1;
  }
};

/// While steps of a calibration that is no more are in the stream, the device is given more of them, and waited for.
void check_destroyed() {
  for (int k = 0; k < 20; ++k) {
    auto training = std::make_unique<Training>(Calibration(InverseNorms(), {"one", "two"}));
    training->calibration.use(fuller::host_rules_on(at::kCUDA));
    training->step();
    training->step();
  }
  torch::cuda::synchronize();
}

}  // namespace

int main() {
  std::string reason;
  if (!fuller::testing::has_device(reason)) {
    std::cout << "skipped: " << reason << '\n';
    return 77;
  }
  check(fuller::IMTL_G());
  check(fuller::GradNorm());
  check(fuller::DWA());
  check(fuller::PCGrad());
  check(fuller::WPCGrad());
  CalibrationOptions options;
  options.surface = fuller::Surface::all_shared;
  options.non_finite = fuller::NonFinite::throw_error;
  check(fuller::IMTL_G(), options);
  CalibrationOptions seldom;
  seldom.every = 4;
  seldom.smoothing = 0.5;
  check(fuller::GradNorm(), seldom);
  check(
      "a custom rule",
      [] {
        return Calibration(InverseNorms(), {"one", "two"});
      },
      fuller::host_rules_on(at::kCUDA));
  check_destroyed();
  fuller::KernelSource compiled;
  try {
    compiled = fuller::kernels_by_nvrtc(at::kCUDA);
  } catch (const fuller::Error& error) {
    std::cout << "skipped: " << error.what() << '\n';
  }
  if (compiled) {
    const Maker maker = [] { return Calibration(fuller::WPCGrad(), {"one", "two"}); };
    check("kernels by NVRTC", maker, fuller::steps_on(at::kCUDA, compiled));
  }
  std::cout << (failures == 0 ? "steps on the device are right\n" : "steps on the device are wrong\n");
  return failures == 0 ? 0 : 1;
}
