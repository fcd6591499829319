// SPDX-License-Identifier: Apache-2.0
// A rule that is asked in one of several steps: in the others the backward is a plain one of the weighted losses, on the host, in
// a stream's order and by kernels, at each surface; resumed; under policies. The oracle is a pass for each loss alone.
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <torch/torch.h>

#include <fuller/engine/host_engines.hpp>
#include <fuller/engine/host_rules.hpp>
#include <fuller/engine/steps.hpp>
#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/device_ways.hpp"
#include "support/multi_backward.hpp"
#include "support/networks.hpp"
#include "support/pages.hpp"

using namespace fuller::testing;
using fuller::ApplyTo;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::Diagnostics;
using fuller::Surface;

namespace {

constexpr int tasks = 3;

CalibrationOptions every(int steps) {
  CalibrationOptions options;
  options.every = steps;
  return options;
}

/// What the parameters get of the losses alone, each weighted: those of heads by weights of their own.
Tensors by_hand(Network& net, const Tensor& x, const Diagnostics& seen) {
  const Tensors z = net.features(x);
  const Tensors parameters = net.parameters();
  const std::size_t shared = net.shared_parameters().size();
  Tensors sum;
  for (const Tensor& parameter : parameters) {
    sum.push_back(torch::zeros_like(parameter));
  }
  for (int i = 0; i < tasks; ++i) {
    const auto at = static_cast<std::size_t>(i);
    if (seen.weights[at] == 0) {
      continue;
    }
    const Tensors alone = gradient_of(net.loss(i, z), parameters);
    for (std::size_t k = 0; k < sum.size(); ++k) {
      sum[k] += alone[k] * (k < shared ? seen.weights[at] : seen.head_weights[at]);
    }
  }
  return sum;
}

/// Whether the steps of a calibration run on the host, or which way on a device.
std::shared_ptr<const fuller::Engines> engines_of(int way) {
  return way == 0 ? fuller::detail::host_engines() : steps_by(way == 1 ? Way::kernels : Way::host_rule);
}

}  // namespace

TEST_CASE("In the steps between, a backward is that of the weighted losses, and forms no task gradients", "[cuda]") {
  for (const int way : {0, 1, 2}) {
    for (const Surface surface : {Surface::last_shared, Surface::representation, Surface::all_shared}) {
      for (const bool forks : {true, false}) {
        for (const ApplyTo apply_to : {ApplyTo::all, ApplyTo::shared_only}) {
          if (!forks && surface != Surface::all_shared) {
            continue;
          }
          INFO("way " << way << ", surface " << static_cast<int>(surface) << ", fork " << forks);
          CalibrationOptions options = every(3);
          options.surface = surface;
          options.apply_to = apply_to;
          Calibration calibration(fuller::IMTL_G(), task_names(tasks), options);
          calibration.use(engines_of(way));
          Network net = conv_network(tasks);
          std::vector<double> asked;
          for (int step = 0; step < 7; ++step) {
            const Tensor x = net.input(step);
            const std::vector<int> present{1, step == 4 ? 0 : 1, 1};
            clear(net.parameters());
            summed_loss(calibration, net, x, present, forks).backward();
            const Diagnostics seen = calibration.diagnostics();
            CHECK(seen.held_for == step % 3);
            CHECK(seen.norms.empty() == (step % 3 != 0));
            if (step % 3 == 0) {
              CHECK((asked.empty() || seen.weights != asked));  // or holding them would change nothing
              asked = seen.weights;
            } else {
              const std::vector<double> expected{asked[0], step == 4 ? 0 : asked[1], asked[2]};
              CHECK(seen.weights == expected);
              const bool plain_heads = !forks && apply_to == ApplyTo::shared_only;  // a pass each, for heads alone
              CHECK(seen.passes == (plain_heads ? 3 - (step == 4 ? 1 : 0) : 0));
            }
            CHECK(difference(gradients_of(net.parameters()), by_hand(net, x, seen)) < 1e-11);
          }
          CHECK(contains(fuller::describe(calibration.diagnostics()), "weights held") == false);
        }
      }
    }
  }
}

TEST_CASE("A run saved between two steps in which the rule is asked goes on bit for bit, on the host or a device", "[cuda]") {
  for (const int saved_after : {1, 2, 3, 4}) {
    for (const int way : {0, 1, 2}) {
      CalibrationOptions options = every(3);
      options.smoothing = 0.5;
      const auto run = [&](Calibration& calibration, int first, int end) {
        Network net = conv_network(tasks);
        std::vector<double> weights;
        for (int step = first; step < end; ++step) {
          calibrated_loss(calibration, net, net.input(step)).backward();
          const Diagnostics seen = calibration.diagnostics();
          weights.insert(weights.end(), seen.weights.begin(), seen.weights.end());
        }
        return weights;
      };
      const auto made = [&] {
        Calibration calibration(fuller::GradNorm(), task_names(tasks), options);
        calibration.use(engines_of(way));
        return calibration;
      };
      Calibration whole = made();
      run(whole, 0, saved_after);
      const std::vector<double> expected = run(whole, saved_after, 8);
      Calibration before = made();
      run(before, 0, saved_after);
      Pages saved;
      before.save(saved);
      Calibration after = made();
      after.load(saved);
      CHECK(run(after, saved_after, 8) == expected);
      Calibration other(fuller::GradNorm(), task_names(tasks));
      CHECK(contains(thrown_by([&] { other.load(saved); }), "made with the same rule and options"));
    }
  }
}

TEST_CASE("On a device no step waits, whether the rule is asked or its weights are held; both equal the host's", "[cuda]") {
  for (const Way way : {Way::kernels, Way::host_rule}) {
    CalibrationOptions options = every(2);
    options.smoothing = 0.25;
    options.measure_every = 3;
    Calibration host(fuller::GradNorm(), task_names(tasks), options);
    Calibration device(fuller::GradNorm(), task_names(tasks), options);
    device.use(steps_by(way));
    Network on_host = conv_network(tasks);
    Network on_device = conv_network(tasks);
    for (int step = 0; step < 6; ++step) {
      const std::vector<int> present{1, 1, step == 3 ? 0 : 1};
      calibrated_loss(host, on_host, on_host.input(step), present).backward();
      const Tensor loss = calibrated_loss(device, on_device, on_device.input(step), present);
      CHECK_FALSE(waits(operators_of([&] { loss.backward(); })));
      CHECK(difference(gradients_of(on_device.parameters()), gradients_of(on_host.parameters())) < 1e-9);
      const Diagnostics seen = device.diagnostics();
      CHECK(seen.held_for == host.diagnostics().held_for);
      CHECK(seen.norms.empty() == (step % 2 != 0 && step % 3 != 0));  // measured for the diagnostics while weights are held
    }
  }
}

TEST_CASE("A policy that looks for what is not finite sees it in the steps between too") {
  for (const auto policy : {fuller::NonFinite::skip, fuller::NonFinite::throw_error}) {
    CalibrationOptions options = every(4);
    options.non_finite = policy;
    Calibration calibration(fuller::IMTL_G(), task_names(tasks), options);
    Network net = conv_network(tasks);
    calibrated_loss(calibration, net, net.input(0)).backward();
    const std::vector<double> asked = calibration.diagnostics().weights;
    clear(net.parameters());
    const auto z = calibration.fork<tasks>(net.features(net.input(1)).front());
    const Tensor broken = net.loss(1, {z[1] * std::numeric_limits<double>::quiet_NaN()});
    const Tensor loss = calibration.sum({net.loss(0, {z[0]}), broken, net.loss(2, {z[2]})});
    const std::string said = thrown_by([&] { loss.backward(); });
    if (policy == fuller::NonFinite::throw_error) {
      CHECK(contains(said, "in step 1 task 't1'"));
    } else {
      CHECK(calibration.diagnostics().weights == std::vector<double>{asked[0], 0, asked[2]});
      CHECK(all_finite(gradients_of(net.parameters())));
      CHECK(contains(fuller::describe(calibration.diagnostics()), "weights held: the rule was asked 1 step ago"));
    }
  }
}

TEST_CASE("How often a rule is asked, and how much of its weights stays, is refused out of range") {
  CalibrationOptions options;
  options.every = 0;
  CHECK(contains(thrown_by([&] { Calibration(fuller::IMTL_G(), {"a"}, options); }), "options.every is 0"));
  options.every = 1;
  options.smoothing = 1;
  CHECK(contains(thrown_by([&] { Calibration(fuller::IMTL_G(), {"a"}, options); }), "options.smoothing is 1"));
}
