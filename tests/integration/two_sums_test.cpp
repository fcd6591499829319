// SPDX-License-Identifier: Apache-2.0
// Two sums of one calibration in one backward: each has weights of its own, as if it had gone backward alone.
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <fuller/engine/host_rules.hpp>
#include <fuller/engine/steps.hpp>
#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/emulated_kernels.hpp"
#include "support/host_stream.hpp"
#include "support/multi_backward.hpp"
#include "support/steps.hpp"

using namespace fuller::testing;
using fuller::ApplyTo;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::Surface;

namespace {

enum class By { host, kernels, host_rule };

/// One trunk, two batches, and two heads for each.
struct TwoBatches {
  TwoBatches() {
    torch::manual_seed(0);
    trunk = torch::nn::Sequential(torch::nn::Linear(5, 6), torch::nn::Tanh(), torch::nn::Linear(6, 4));
    for (int i = 0; i < 4; ++i) {
      heads.push_back(torch::nn::Linear(4, 2));
      heads.back()->to(torch::kDouble);
    }
    trunk->to(torch::kDouble);
    x = {torch::randn({7, 5}, torch::kDouble), 3 * torch::randn({6, 5}, torch::kDouble)};
  }
  Tensors parameters() const {
    Tensors all = trunk->parameters();
    for (const auto& head : heads) {
      append(all, head->parameters());
    }
    return all;
  }
  /// The losses of a batch from what its two heads read.
  Tensors losses(std::size_t batch, const Tensor& a, const Tensor& b, double step = 0) {
    return {heads[2 * batch]->forward(a).pow(2).mean() * (1 + step),
            heads[2 * batch + 1]->forward(b).sin().pow(2).mean() * (batch == 0 ? 10 : 0.01)};
  }
  Tensor sum(Calibration& calibration, std::size_t batch, double step, bool fork) {
    const Tensor z = trunk->forward(x[batch] * (1 + 0.1 * step));
    if (!fork) {
      return calibration.sum(losses(batch, z, z, step));
    }
    const auto of_tasks = calibration.fork<2>(z);
    return calibration.sum(losses(batch, of_tasks[0], of_tasks[1], step));
  }

  torch::nn::Sequential trunk{nullptr};
  std::vector<torch::nn::Linear> heads;
  Tensors x;
};

template <class Rule>
Calibration made(const Rule& rule, const CalibrationOptions& options, By way) {
  static HostStream stream;
  Calibration calibration(rule, {"a", "b"}, options);
  if (way != By::host) {
    calibration.use(way == By::kernels ? fuller::steps_on(at::kCPU, [] { return emulated_kernels; })
                                       : fuller::host_rules_on(at::kCPU, stream.launcher()));
  }
  return calibration;
}

/// Steps of both sums in one backward, against the same on the host one by one, the later forward first.
template <class Rule>
void check_together(const Rule& rule, const CalibrationOptions& options, By way, bool fork) {
  TwoBatches net;
  Calibration together = made(rule, options, way);
  Calibration apart = made(rule, options, By::host);
  for (int step = 0; step < 3; ++step) {
    clear(net.parameters());
    const Tensor first = net.sum(apart, 0, step, fork);
    const Tensor second = net.sum(apart, 1, step, fork);
    second.backward();
    first.backward();
    const Tensors expected = gradients_of(net.parameters());
    clear(net.parameters());
    const Tensor one = net.sum(together, 0, step, fork);
    const Tensor other = net.sum(together, 1, step, fork);
    (one + other).backward();
    CHECK(difference(gradients_of(net.parameters()), expected) < 1e-10);
    CHECK(together.steps() == 2 * (step + 1));
    const auto seen = together.diagnostics();
    const auto alone = apart.diagnostics();
    CHECK(largest_difference(seen.weights, alone.weights) < 1e-9);
    CHECK(largest_difference(seen.head_weights, alone.head_weights) < 1e-9);
    together.end_epoch();
    apart.end_epoch();
  }
}

}  // namespace

TEST_CASE("Two forks in one backward: each pair of heads gets the weights of its own") {
  TwoBatches net;
  std::vector<Tensors> parts;
  for (std::size_t batch = 0; batch < 2; ++batch) {
    const Tensor z = net.trunk->forward(net.x[batch]);
    const Tensors losses = net.losses(batch, z, z);
    const Weights weights = imtl_g(gram_at(losses, {net.trunk->parameters()[2]}));
    parts.push_back(weighted_gradients(losses, net.trunk->parameters(),
                                       {net.heads[2 * batch]->parameters(), net.heads[2 * batch + 1]->parameters()}, weights));
  }
  Tensors expected;
  for (std::size_t k = 0; k < 4; ++k) {
    expected.push_back(parts[0][k] + parts[1][k]);
  }
  for (const Tensors& part : parts) {
    append(expected, {part.begin() + 4, part.end()});
  }
  Calibration calibration(fuller::IMTL_G(), {"a", "b"});
  clear(net.parameters());
  const Tensor one = net.sum(calibration, 0, 0, true);
  (one + net.sum(calibration, 1, 0, true)).backward();
  CHECK(difference(gradients_of(net.parameters()), expected) < 1e-12);
}

TEST_CASE(
    "Two sums in one backward equal two backwards, for rules of every kind, with forks and without, on a device and on the "
    "host") {
  const By way = GENERATE(By::host, By::kernels, By::host_rule);
  for (const ApplyTo apply_to : {ApplyTo::all, ApplyTo::shared_only}) {
    for (const bool fork : {true, false}) {
      for_rules_of_every_kind(2, [&](const auto& rule) {
        INFO(rule.name << ", weights on " << static_cast<int>(apply_to) << ", fork " << fork << ", way "
                       << static_cast<int>(way));
        CalibrationOptions options;
        options.apply_to = apply_to;
        if (!fork) {
          options.surface = Surface::all_shared;
        }
        check_together(rule, options, way, fork);
      });
    }
  }
}

TEST_CASE("Two sums in one backward with an absent task in one, a loss scale, and policies") {
  for (const By way : {By::host, By::kernels, By::host_rule}) {
    TwoBatches net;
    CalibrationOptions options;
    options.non_finite = fuller::NonFinite::skip;
    Calibration together = made(fuller::GradNorm(), options, way);
    Calibration apart = made(fuller::GradNorm(), options, By::host);
    const auto sums = [&](Calibration& calibration) {
      const auto f = calibration.fork<2>(net.trunk->forward(net.x[0]));
      Tensors losses = net.losses(0, f[0], f[1]);
      losses[0] = Replaces::apply(losses[0], std::nan(""));
      const Tensor one = calibration.sum(losses);
      const auto g = calibration.fork<2>(net.trunk->forward(net.x[1]));
      return Tensors{one, calibration.sum({Tensor(), net.losses(1, g[0], g[1])[1]})};
    };
    Tensors apart_sums = sums(apart);
    clear(net.parameters());
    (apart_sums[1] * 4).backward();
    (apart_sums[0] * 0.5).backward();
    const Tensors expected = gradients_of(net.parameters());
    clear(net.parameters());
    Tensors both = sums(together);
    (both[0] * 0.5 + both[1] * 4).backward();
    CHECK(all_finite(expected));
    CHECK(difference(gradients_of(net.parameters()), expected) < 1e-12);
  }
}

TEST_CASE("Two sums in one backward whose heads are the same are refused before anything has changed") {
  TwoBatches net;
  Calibration calibration(fuller::IMTL_G(), {"a", "b"});
  net.heads[2] = net.heads[0];
  net.heads[3] = net.heads[1];
  const Tensor one = net.sum(calibration, 0, 0, true);
  const Tensor other = net.sum(calibration, 1, 0, true);
  CHECK(contains(thrown_by([&] { (one + other).backward(); }), "two sums of losses are in one backward"));
  CHECK(calibration.steps() == 0);
  for (const Tensor& parameter : net.parameters()) {
    CHECK_FALSE(parameter.grad().defined());
  }
}

TEST_CASE("A fork is not taken in by what an earlier backward left, whose place in memory a later one may get") {
  TwoBatches net;
  Calibration calibration(fuller::IMTL_G(), {"a", "b"});
  for (int attempt = 0; attempt < 8; ++attempt) {
    const auto f = calibration.fork<2>(net.trunk->forward(net.x[0]));
    Tensors losses = net.losses(0, f[0], f[1]);
    bool throws = true;
    f[0].register_hook([&](const Tensor& gradient) {
      if (throws) {
        throw std::runtime_error("boom");
      }
      return gradient;
    });
    const Tensor loss = calibration.sum(losses);
    CHECK(contains(thrown_by([&] { loss.backward({}, /*retain_graph=*/true); }), "boom"));
    throws = false;
    // One loss, not the sum.
    CHECK(contains(thrown_by([&] { torch::autograd::grad({losses[0]}, {net.trunk->parameters()[0]}, {}, true); }),
                   "did not start at the calibration's sum"));
  }
  CHECK(calibration.steps() == 0);
}
