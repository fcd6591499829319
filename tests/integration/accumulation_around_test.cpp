// SPDX-License-Identifier: Apache-2.0
// What is around a micro-batch that waits for the last: policies, hooks, other backwards, types, the graph. Its steps are those
// of accumulation_test.cpp.
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <fuller/engine/host_rules.hpp>
#include <fuller/engine/steps.hpp>
#include <fuller/fuller.hpp>

#include "support/accumulated_steps.hpp"
#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/device_ways.hpp"
#include "support/multi_backward.hpp"
#include "support/networks.hpp"
#include "support/steps.hpp"

namespace accumulation_test {

TEST_CASE("Accumulated: a NaN in one micro-batch is one of the step, and decided upon by the policy") {
  const auto micro_batch = [](Calibration& calibration, Network& net, int j) {
    const auto z = calibration.fork_levels(net.features(net.input(j)));
    Tensors losses;
    for (int i = 0; i < tasks; ++i) {
      losses.push_back(net.loss(i, z[static_cast<std::size_t>(i)]));
    }
    losses[1] = j == 0 ? losses[1] * std::numeric_limits<double>::quiet_NaN() : losses[1];
    (calibration.sum(losses) / 2).backward();
  };
  Network net = network();
  CalibrationOptions options;
  SECTION("skip: the task is left out of both") {
    options.non_finite = NonFinite::skip;
    Calibration calibration(fuller::IMTL_G(), task_names(tasks), options);
    calibration.accumulate(2);
    micro_batch(calibration, net, 0);
    micro_batch(calibration, net, 1);
    CHECK(all_finite(gradients_of(net.parameters())));
    CHECK(calibration.diagnostics().conditions[1] == fuller::Condition::non_finite);
    for (const Tensor& gradient : gradients_of(net.head_parameters(1))) {
      CHECK(gradient.abs().sum().item<double>() == 0);
    }
    CHECK(calibration.diagnostics().weights[0] > 0);
  }
  SECTION("throw_error: in the last backward, and no parameter has got anything") {
    options.non_finite = NonFinite::throw_error;
    Calibration calibration(fuller::IMTL_G(), task_names(tasks), options);
    calibration.accumulate(2);
    micro_batch(calibration, net, 0);
    CHECK_THROWS_AS(micro_batch(calibration, net, 1), fuller::NonFiniteError);
    for (const Tensor& parameter : net.parameters()) {
      CHECK_FALSE(parameter.grad().defined());
    }
    CHECK(calibration.steps() == 0);
    CHECK(calibration.diagnostics().gathered == 0);
    step(calibration, net, net.input(3), 2);
    CHECK(calibration.steps() == 1);
  }
}

TEST_CASE("Accumulated: hooks of parameters see the one gradient that trains, with what terms outside the sum add") {
  Network net = network();
  Calibration calibration(fuller::IMTL_G(), task_names(tasks));
  const Tensor shared = net.shared_parameters().front();
  const Tensor of_head = net.head_parameters(2).front();
  Tensors of_shared;
  Tensors of_head_seen;
  const auto first = shared.register_hook([&](const Tensor& gradient) {
    of_shared.push_back(gradient.clone());
    return gradient * 2;
  });
  const auto second = of_head.register_hook([&](const Tensor& gradient) {
    of_head_seen.push_back(gradient.clone());
    return gradient * 2;
  });
  calibration.accumulate(2);
  const Tensor x = net.input(1);
  calibrated_loss(calibration, net, x, all_present).backward();
  CHECK(of_shared.empty());
  (calibrated_loss(calibration, net, x, {1, 1, 0}) + shared.sum()).backward();  // its head is not reached by this one
  REQUIRE(of_shared.size() == 1);
  REQUIRE(of_head_seen.size() == 1);
  CHECK(equal({shared.grad()}, {of_shared[0] * 2}));
  CHECK(equal({of_head.grad()}, {of_head_seen[0] * 2}));
  shared.remove_hook(first);
  of_head.remove_hook(second);
  clear(net.parameters());
  calibration.accumulate(2);
  calibrated_loss(calibration, net, x, all_present).backward();
  calibrated_loss(calibration, net, x, {1, 1, 0}).backward();
  CHECK(difference({shared.grad() + 1}, {of_shared[0]}) < 1e-12);
  CHECK(difference({of_head.grad()}, {of_head_seen[0]}) < 1e-12);
}

TEST_CASE("Accumulated: two micro-batches in one backward, and forwards before backwards") {
  Network net = network();
  Calibration calibration(fuller::IMTL_G(), task_names(tasks));
  const Tensor x = net.input(4);
  step(calibration, net, x, 2);
  const Tensors one_by_one = gradients_of(net.parameters());
  const auto halves = [&] {
    clear(net.parameters());
    return Tensors{calibrated_loss(calibration, net, x.slice(0, 0, samples / 2), all_present) / 2,
                   calibrated_loss(calibration, net, x.slice(0, samples / 2), all_present) / 2};
  };
  const Tensors both = halves();
  (both[0] + both[1]).backward();
  CHECK(difference(gradients_of(net.parameters()), one_by_one) < 1e-14);
  const Tensors apart = halves();
  apart[0].backward();
  apart[1].backward();
  CHECK(difference(gradients_of(net.parameters()), one_by_one) < 1e-14);
  CHECK(calibration.steps() == 3);
  // A head that one of the two reaches, and its hook.
  clear(net.parameters());
  int hooks = 0;
  const Tensor of_head = net.head_parameters(2).front();
  const auto hook = of_head.register_hook([&](const Tensor& gradient) {
    ++hooks;
    return gradient;
  });
  const Tensor without = calibrated_loss(calibration, net, x, {1, 1, 0});
  const Tensor with = calibrated_loss(calibration, net, x, all_present);
  (with + without).backward();
  CHECK(hooks == 1);
  const Tensors in_one = gradients_of(net.parameters());
  clear(net.parameters());
  calibrated_loss(calibration, net, x, {1, 1, 0}).backward();
  calibrated_loss(calibration, net, x, all_present).backward();
  CHECK(hooks == 2);
  CHECK(difference(gradients_of(net.parameters()), in_one) < 1e-14);
  of_head.remove_hook(hook);
}

TEST_CASE("Accumulated: bfloat16 gradients are kept in their type") {
  Network net = linear_network(tasks, torch::kBFloat16, samples);
  Calibration calibration(fuller::IMTL_G(), task_names(tasks));
  step(calibration, net, net.input(1), 2);
  Network exact = linear_network(tasks, torch::kDouble, samples);
  {
    const torch::NoGradGuard no_grad;
    for (std::size_t k = 0; k < net.parameters().size(); ++k) {
      exact.parameters()[k].copy_(net.parameters()[k]);
    }
  }
  Calibration whole(fuller::IMTL_G(), task_names(tasks));
  step(whole, exact, net.input(1).to(torch::kDouble), 2);
  for (const Tensor& parameter : net.parameters()) {
    CHECK(parameter.grad().scalar_type() == torch::kBFloat16);
  }
  CHECK(difference(gradients_of(net.parameters()), gradients_of(exact.parameters())) < 0.1);
}

TEST_CASE("Accumulated: a micro-batch lets go of its graph as a backward does, and keeps it where that is asked for") {
  Network net = network();
  Calibration calibration(fuller::IMTL_G(), task_names(tasks));
  calibration.accumulate(3);
  const Tensor once = calibrated_loss(calibration, net, net.input(0), all_present);
  once.backward();
  CHECK(contains(thrown_by([&] { once.backward(); }), "second time"));
  CHECK(calibration.diagnostics().gathered == 0);  // that threw, and the step starts over
  const Tensor kept = calibrated_loss(calibration, net, net.input(0), all_present);
  kept.backward({}, /*retain_graph=*/true);
  kept.backward({}, /*retain_graph=*/true);
  kept.backward();
  const Tensors thrice = gradients_of(net.parameters());
  clear(net.parameters());
  Calibration big(fuller::IMTL_G(), task_names(tasks));
  (calibrated_loss(big, net, net.input(0), all_present) * 3).backward();
  CHECK(difference(thrice, gradients_of(net.parameters())) < 1e-12);
}

}  // namespace accumulation_test
