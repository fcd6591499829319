// SPDX-License-Identifier: Apache-2.0
// DeviceCalibrator, DeviceGate and the sums beside them, on tensors of the CPU with the kernels on emulated blocks, or from PTX:
// all but the device. The oracles are the library's CPU reductions and the rules' own calls on the host.

#include <torch/torch.h>

#include <cstring>
#include <vector>

#include <fuller/engine/device_calibrator.hpp>
#include <fuller/engine/device_gate.hpp>
#include <fuller/tensor/reductions.hpp>

#include "support/catch.hpp"
#include "support/emulated_kernels.hpp"

namespace {

using at::Tensor;
using fuller::testing::operators_of;
using fuller::testing::waits;

const fuller::DeviceKernels emulated = fuller::testing::emulated_kernels;

Tensor doubles(const std::vector<double>& values) { return torch::tensor(values, torch::kDouble); }

/// To the bit on emulated blocks, as near as rounding brings it from PTX. A state ends with an unused double.
template <class Rule>
bool as_the_host(const Tensor& found, const std::vector<double>& right) {
  const double tolerance = fuller::testing::rule_tolerance<Rule>();
  if (tolerance == 0) {
    return std::memcmp(found.data_ptr(), right.data(), right.size() * sizeof(double)) == 0;
  }
  const Tensor host = doubles(right);
  const double size = tolerance * host.nan_to_num().abs().max().item<double>();
  return torch::allclose(found.flatten().slice(0, 0, host.numel()), host, 0, size, /*equal_nan=*/true);
}

std::vector<std::vector<Tensor>> gradients_at(int tasks, int step) {
  torch::manual_seed(100 * tasks + step);
  std::vector<std::vector<Tensor>> gradients;
  for (int i = 0; i < tasks; ++i) {
    const Tensor convolution = torch::randn({6, 5, 3, 3}) + 0.2 * i;
    gradients.push_back({i == 1 ? convolution.contiguous(at::MemoryFormat::ChannelsLast) : convolution,
                         torch::randn({40, 30}).t(), torch::randn({7}).to(torch::kHalf), torch::randn({1}).expand({9}),
                         i == 0 ? torch::randn({4}) : torch::randn({4}).to(torch::kDouble)});
  }
  gradients[0][2] = Tensor();
  if (tasks > 2 && step == 1) {
    gradients[2].clear();
  }
  return gradients;
}

template <class Rule>
void check(const Rule& rule, int tasks) {
  fuller::DeviceCalibrator device(rule, tasks, at::kCPU);
  const fuller::Weighting<Rule> weighting(rule);
  const auto T = static_cast<std::size_t>(tasks);
  std::vector<double> state(static_cast<std::size_t>(weighting.state_size(tasks)));
  weighting.initialise(tasks, state.data());
  std::vector<double> scratch(static_cast<std::size_t>(weighting.scratch_size(tasks)));
  const Tensor scale = doubles({4});
  for (int step = 0; step < 3; ++step) {
    const auto gradients = gradients_at(tasks, step);
    std::vector<double> losses;
    for (int i = 0; i < tasks; ++i) {
      losses.push_back(1 + 0.3 * i + 0.1 * step);
    }
    const Tensor on_device = doubles(losses);
    device.set_epoch(step);
    const auto operators = operators_of([&] { device.weigh(emulated, gradients, on_device, scale); });
    REQUIRE_FALSE(waits(operators));

    std::vector<double> gram(T * T);
    fuller::gram_matrix(gradients, gram.data());
    std::vector<std::uint8_t> present;
    for (const auto& list : gradients) {
      present.push_back(list.empty() ? 0 : 1);
    }
    const double* found = device.gram().data_ptr<double>();
    for (std::size_t i = 0; i < T; ++i) {
      for (std::size_t j = 0; j < T; ++j) {
        REQUIRE(std::abs(found[i * T + j] - gram[i * T + j]) <= 1e-12 * std::sqrt(gram[i * T + i] * gram[j * T + j]));
      }
    }
    std::vector<double> shared(T);
    std::vector<double> heads(T);
    std::vector<fuller::Condition> conditions(T);
    fuller::Evidence<> evidence;
    evidence.count = tasks;
    evidence.gram = found;
    evidence.losses = losses.data();
    evidence.present = present.data();
    evidence.step = step;
    evidence.epoch = step;
    evidence.loss_scale = 4;
    weighting(fuller::Serial{}, evidence, state.data(), {shared.data(), heads.data(), conditions.data()}, scratch.data());
    REQUIRE(as_the_host<Rule>(device.shared_weights(), shared));
    REQUIRE(as_the_host<Rule>(device.head_weights(), heads));
    REQUIRE(std::memcmp(device.conditions().data_ptr(), conditions.data(), T) == 0);
    REQUIRE(as_the_host<Rule>(device.state(), state));
    REQUIRE(device.counters()[0].item<std::int64_t>() == step + 1);
  }
}

TEST_CASE("a calibrator on a device: every rule, without an operator that waits", "[cuda]") {
  for (const int tasks : {2, 3, 6}) {
    check(fuller::IMTL_G(), tasks);
    check(fuller::GradNorm(), tasks);
    check(fuller::DWA(), tasks);
    check(fuller::PCGrad(), tasks);
    check(fuller::WPCGrad(), tasks);
    check(fuller::Uniform(), tasks);
  }
}

TEST_CASE("a step on a device keeps its addresses, and allocates for views alone once it has run", "[cuda]") {
  fuller::DeviceCalibrator device(fuller::IMTL_G(), 2, at::kCPU);
  const std::vector<std::vector<Tensor>> gradients{{torch::randn({50})}, {torch::randn({50})}};
  device.weigh(emulated, gradients);
  const void* shared = device.shared_weights().data_ptr();
  const auto operators = operators_of([&] { device.weigh(emulated, gradients); });
  REQUIRE(operators.count("aten::empty") == 0);
  REQUIRE(operators.count("aten::zeros") == 0);
  REQUIRE(operators.count("aten::copy_") == 0);
  REQUIRE(device.shared_weights().data_ptr() == shared);
}

TEST_CASE("weighted sums with weights on the device", "[cuda]") {
  torch::manual_seed(1);
  for (const auto type : {torch::kFloat, torch::kDouble, torch::kHalf, torch::kBFloat16}) {
    const Tensor a = torch::randn({3, 4, 5}).to(type);
    const Tensor b = torch::randn({3, 5, 4}).to(type).transpose(1, 2);
    const Tensor c = torch::full({3, 4, 5}, std::numeric_limits<double>::quiet_NaN()).to(type);
    const std::vector<double> weights{0.5, 3, -2, 0};
    const std::vector<Tensor> cotangents{a, Tensor(), b, c};
    const Tensor found = fuller::weighted_sum(emulated, cotangents, doubles(weights));
    const Tensor right = fuller::weighted_sum(cotangents, weights.data());
    REQUIRE(found.scalar_type() == type);
    REQUIRE(torch::allclose(found, right, 1e-6, 1e-6));
    Tensor scaled = a.clone();
    const double third = 0.25;
    fuller::scale_in_place(emulated, scaled, &third);
    REQUIRE(torch::equal(scaled, a * 0.25));
    const double none = 0;
    Tensor cleared = c.clone();
    fuller::scale_in_place(emulated, cleared, &none);
    REQUIRE(torch::equal(cleared, torch::zeros_like(c)));
  }
  REQUIRE_FALSE(fuller::weighted_sum(emulated, std::vector<Tensor>(2), doubles({1, 1})).defined());
  // More dimensions with gaps than a kernel's table takes: copied first.
  const Tensor bent = torch::randn({4, 4, 4, 4, 4, 4})
                          .slice(0, 0, 4, 2)
                          .slice(1, 0, 4, 2)
                          .slice(2, 0, 4, 2)
                          .slice(3, 0, 4, 2)
                          .slice(4, 0, 4, 2)
                          .slice(5, 0, 4, 2);
  REQUIRE(torch::equal(fuller::weighted_sum(emulated, std::vector<Tensor>{bent, bent}, doubles({0.5, 0.25})), bent * 0.75));
  fuller::DeviceCalibrator device(fuller::Uniform(), 2, at::kCPU);
  device.weigh(emulated, {{bent}, {bent * 2}});
  const double square = bent.to(torch::kDouble).square().sum().item<double>();
  REQUIRE(std::abs(device.gram()[0][1].item<double>() - 2 * square) <= 1e-12 * 2 * square);
}

TEST_CASE("a gate on a device", "[cuda]") {
  torch::manual_seed(2);
  const fuller::ModalityGate gate;
  fuller::DeviceGate device(gate, 3, at::kCPU);
  std::vector<double> state(3, 1.0);
  for (int step = 0; step < 3; ++step) {
    const std::vector<std::int64_t> widths{3, step == 1 ? 0 : 2, 4};
    const std::int64_t channels = widths[0] + widths[1] + widths[2];
    Tensor gradient = torch::randn({5, channels, 3, 3});
    if (step == 2) {
      gradient = gradient.contiguous(at::MemoryFormat::ChannelsLast);
    }
    const auto operators = operators_of([&] { device.weigh(emulated, gradient, widths); });
    REQUIRE_FALSE(waits(operators));
    std::vector<double> norms(3);
    fuller::slice_squared_norms(gradient, widths, 1, norms.data());
    REQUIRE(torch::allclose(device.squared_norms(), doubles(norms), 1e-12, 0));
    std::vector<double> sizes;
    std::vector<std::uint8_t> present;
    for (const std::int64_t width : widths) {
      sizes.push_back(static_cast<double>(5 * width * 9));
      present.push_back(width > 0 ? 1 : 0);
    }
    std::vector<double> scales(3);
    std::vector<double> scratch(3);
    fuller::BranchEvidence<> evidence;
    evidence.count = 3;
    evidence.squared_norms = device.squared_norms().data_ptr<double>();
    evidence.sizes = sizes.data();
    evidence.present = present.data();
    gate(fuller::Serial{}, evidence, state.data(), scales.data(), scratch.data());
    REQUIRE(as_the_host<fuller::ModalityGate>(device.scales(), scales));
    REQUIRE(as_the_host<fuller::ModalityGate>(device.state(), state));
  }
  REQUIRE_THROWS_AS(device.weigh(emulated, torch::randn({5, 4}), {1, 2, 2}), fuller::Error);
}

TEST_CASE("what does not belong together is refused in words", "[cuda]") {
  fuller::DeviceCalibrator device(fuller::GradNorm(), 2, at::kCPU);
  const Tensor g = torch::randn({4});
  REQUIRE_THROWS_AS(device.weigh(emulated, {{g}, {g}}), fuller::Error);  // GradNorm asks for losses
  REQUIRE_THROWS_AS(device.weigh(emulated, {{g}}, doubles({1, 1})), fuller::Error);
  REQUIRE_THROWS_AS(device.weigh(emulated, {{g}, {torch::randn({5})}}, doubles({1, 1})), fuller::Error);
  REQUIRE_THROWS_AS(device.weigh(emulated, {{g}, {g, g}}, doubles({1, 1})), fuller::Error);
  REQUIRE_THROWS_AS(device.weigh(emulated, {{g}, {g}}, torch::ones({2})), fuller::Error);
  REQUIRE(device.counters()[0].item<std::int64_t>() == 0);
}

}  // namespace
