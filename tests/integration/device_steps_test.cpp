// SPDX-License-Identifier: Apache-2.0
// A Calibration whose steps run on a device, both ways, over tensors of the CPU: the kernels on emulated blocks, and ATen with
// the rule in another thread, where a driver would call it; so that all but the device is what it will be there. The oracle is
// the same calibration on the host, which has tests of its own against plain passes.
#include <cmath>
#include <limits>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <fuller/eigen.hpp>
#include <fuller/engine/host_rules.hpp>
#include <fuller/engine/steps.hpp>
#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/device_ways.hpp"
#include "support/fusion.hpp"
#include "support/multi_backward.hpp"
#include "support/steps.hpp"

using namespace fuller::testing;
using fuller::ApplyTo;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::Diagnostics;
using fuller::NonFinite;
using fuller::Surface;

namespace {

bool close(const std::vector<double>& a, const std::vector<double>& b, double tolerance = 1e-9) {
  bool all = a.size() == b.size();
  for (std::size_t i = 0; all && i < a.size(); ++i) {
    all = a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i])) ||
          std::abs(a[i] - b[i]) <= tolerance * std::max(1.0, std::abs(b[i]));
  }
  return all;
}

/// Two runs of one network: one by the host, one by the device.
template <class Rule>
struct Pair {
  Pair(Way way, const Rule& rule, int tasks, const CalibrationOptions& options)
      : host(rule, task_names(tasks), options), device(rule, task_names(tasks), options) {
    device.use(steps_by(way));
  }

  Calibration host;
  Calibration device;
};

void expect_same(const Diagnostics& host, const Diagnostics& device) {
  CHECK(host.step == device.step);
  CHECK(close(device.weights, host.weights));
  CHECK(close(device.head_weights, host.head_weights));
  CHECK((device.conditions == host.conditions));
  CHECK(close(device.norms, host.norms));
  CHECK(close(device.cosines, host.cosines));
  CHECK(close({device.conflict_share, device.gamma_task, device.gamma_task_weighted},
              {host.conflict_share, host.gamma_task, host.gamma_task_weighted}, 1e-8));
  CHECK(close({device.weight_ratio, device.step_length}, {host.weight_ratio, host.step_length}, 1e-8));
  CHECK(device.stalled == host.stalled);
  CHECK(close(device.stage_factors, host.stage_factors));
  CHECK(close(device.gates, host.gates));
  CHECK(close(device.branch_norms, host.branch_norms));
  CHECK(close(device.branch_scores, host.branch_scores));
}

/// Four steps that accumulate into .grad, with another loss scale each, an absent task in the third, and epochs that end.
template <class Rule>
void check(Way way, const Rule& rule, Network (*make)(int, torch::Dtype), int tasks, const CalibrationOptions& options = {}) {
  Pair<Rule> both(way, rule, tasks, options);
  Network on_host = make(tasks, torch::kDouble);
  Network on_device = make(tasks, torch::kDouble);
  for (int step = 0; step < 4; ++step) {
    std::vector<int> present(static_cast<std::size_t>(tasks), 1);
    present.back() = step == 2 && tasks > 1 ? 0 : 1;
    const double factor = std::pow(4.0, step);
    calibrated_loss(both.host, on_host, on_host.input(step), present, factor).backward();
    const Tensor loss = calibrated_loss(both.device, on_device, on_device.input(step), present, factor);
    std::vector<fuller::Snapshot> snapshots;
    const auto operators = operators_of([&] {
      loss.backward();
      snapshots.push_back(both.device.snapshot());
    });
    CHECK_FALSE(waits(operators));
    CHECK(difference(gradients_of(on_device.parameters()), gradients_of(on_host.parameters())) < 1e-9);
    expect_same(both.host.diagnostics(), both.device.diagnostics());
    CHECK(snapshots.front().is_there());
    expect_same(both.host.snapshot().diagnostics(), snapshots.front().diagnostics());
    if (step % 2 == 1) {
      both.host.end_epoch();
      both.device.end_epoch();
    }
  }
  CHECK(both.device.steps() == 4);
}

Network conv(int tasks, torch::Dtype dtype) { return conv_network(tasks, dtype); }
Network pyramid(int tasks, torch::Dtype dtype) { return pyramid_network(tasks, dtype); }
Network wide(int tasks, torch::Dtype dtype) { return wide_network(tasks, dtype); }

CalibrationOptions at_surface(Surface surface) {
  CalibrationOptions options;
  options.surface = surface;
  return options;
}

}  // namespace

TEST_CASE("Steps on a device equal those on the host, for rules of every kind, and wait for nothing", "[cuda]") {
  const Way way = GENERATE(Way::kernels, Way::host_rule);
  for (const int tasks : {1, 2, 3}) {
    for_rules_of_every_kind(tasks, [&](const auto& rule) {
      INFO(rule.name << ", " << tasks << " tasks");
      check(way, rule, conv, tasks);
    });
  }
}

TEST_CASE("Steps on a device at every surface, with weights on heads and without", "[cuda]") {
  const Way way = GENERATE(Way::kernels, Way::host_rule);
  for (const Surface surface : {Surface::last_shared, Surface::representation, Surface::all_shared}) {
    for (const ApplyTo what : {ApplyTo::all, ApplyTo::shared_only}) {
      INFO("surface " << static_cast<int>(surface) << ", weights on " << static_cast<int>(what));
      CalibrationOptions options = at_surface(surface);
      options.apply_to = what;
      check(way, fuller::IMTL_G(), conv, 2, options);
      check(way, fuller::PCGrad(), pyramid, 3, options);
      check(way, fuller::GradNorm(), wide, 2, options);
    }
  }
}

TEST_CASE("Policies on a device: static weights, tasks that are missing, evidence for the diagnostics alone", "[cuda]") {
  const Way way = GENERATE(Way::kernels, Way::host_rule);
  CalibrationOptions options;
  options.before = {1, 5};
  options.after = {2, 0.5};
  check(way, fuller::IMTL_G(), conv, 2, options);
  options.missing = fuller::Missing::renormalise;
  check(way, fuller::DWA(), conv, 2, options);
  options.measure_every = 2;
  check(way, fuller::Uniform(), conv, 2, options);
}

TEST_CASE("A NaN gradient on a device is skipped, passed on, or thrown for when it is asked about", "[cuda]") {
  const Way way = GENERATE(Way::kernels, Way::host_rule);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto step = [&](Calibration& calibration, Network& net, bool broken) {
    const auto z = calibration.fork<2>(net.features(net.input(1)).front());
    const Tensor second = broken ? Replaces::apply(z[1], nan) : z[1];
    calibration.sum({net.loss(0, {z[0]}), net.loss(1, {second})}).backward();
    return gradients_of(net.parameters());
  };
  for (const ApplyTo what : {ApplyTo::all, ApplyTo::shared_only}) {
    CalibrationOptions options;
    options.apply_to = what;
    for (const NonFinite policy : {NonFinite::skip, NonFinite::propagate}) {
      options.non_finite = policy;
      Pair<fuller::IMTL_G> both(way, fuller::IMTL_G(), 2, options);
      Network on_host = conv_network(2);
      Network on_device = conv_network(2);
      for (const bool broken : {false, true, false}) {
        const Tensors right = step(both.host, on_host, broken);
        const Tensors found = step(both.device, on_device, broken);
        for (std::size_t k = 0; k < right.size(); ++k) {
          CHECK(torch::allclose(found[k], right[k], 1e-9, 1e-12, /*equal_nan=*/true));
        }
        expect_same(both.host.diagnostics(), both.device.diagnostics());
      }
      CHECK(all_finite(gradients_of(on_device.parameters())) == (policy == NonFinite::skip));
    }
    options.non_finite = NonFinite::throw_error;
    Calibration calibration(fuller::IMTL_G(), {"fine", "broken"}, options);
    calibration.use(steps_by(way));
    Network net = conv_network(2);
    step(calibration, net, false);
    CHECK(calibration.diagnostics().step == 1);
    step(calibration, net, true);  // nothing is thrown here, and nothing that is NaN gets into a gradient
    CHECK(all_finite(gradients_of(net.parameters())));
    step(calibration, net, false);
    const std::string said = thrown_by([&] { static_cast<void>(calibration.diagnostics()); });
    CHECK(contains(said, "in step 1 task 'broken'"));
    CHECK(calibration.diagnostics().step == 3);  // said once
  }
}

TEST_CASE("A head whose loss is infinite in the head alone trains under no policy that skips", "[cuda]") {
  const Way way = GENERATE(Way::kernels, Way::host_rule);
  CalibrationOptions options;
  options.non_finite = NonFinite::skip;
  Pair<fuller::GradNorm> both(way, fuller::GradNorm(), 2, options);
  Network on_host = conv_network(2);
  Network on_device = conv_network(2);
  for (auto [calibration, net] : {std::pair(&both.host, &on_host), std::pair(&both.device, &on_device)}) {
    const auto z = calibration->fork<2>(net->features(net->input(2)).front());
    const Tensor second = net->loss(1, {z[1]}) * std::numeric_limits<double>::infinity();
    calibration->sum({net->loss(0, {z[0]}), second}).backward();
    CHECK(all_finite(gradients_of(net->parameters())));
  }
  CHECK(difference(gradients_of(on_device.parameters()), gradients_of(on_host.parameters())) < 1e-9);
}

TEST_CASE("Gates on a device: gradients, updates, one fusion weight or several, modalities that are missing", "[cuda]") {
  const Way way = GENERATE(Way::kernels, Way::host_rule);
  for (const auto target : {fuller::GateTarget::gradient, fuller::GateTarget::update}) {
    for (const bool separate : {false, true}) {
      for (const auto norm : {fuller::GateNorm::l2, fuller::GateNorm::rms}) {
        INFO("target " << static_cast<int>(target) << ", separate " << separate);
        fuller::ModalityGateOptions options;
        options.target = target;
        options.norm = norm;
        struct Run {
          Fusion net;
          Calibration calibration;
          torch::optim::Adam optimizer;
        };
        const auto make = [&](bool gates_first, bool on_device) {
          Fusion net = make_fusion(FusionKind::conv2d, 3, true, separate);
          Calibration calibration(fuller::IMTL_G(), {"one", "two"});
          if (on_device && !gates_first) {
            calibration.use(steps_by(way));
          }
          calibration.modalities(fuller::ModalityGate(options), {"a", "b", "c"});
          if (on_device && gates_first) {
            calibration.use(steps_by(way));
          }
          const Tensors parameters = net.parameters();
          return Run{std::move(net), std::move(calibration), torch::optim::Adam(parameters, torch::optim::AdamOptions(5e-3))};
        };
        std::vector<Run> runs;
        runs.push_back(make(true, false));
        runs.push_back(make(true, true));
        runs.push_back(make(false, true));
        for (int step = 0; step < 4; ++step) {
          for (Run& run : runs) {
            run.optimizer.zero_grad();
            Tensors features = run.net.features();
            if (step == 2 && separate) {
              features[1] = Tensor();
            }
            const Tensors gated = separate ? run.calibration.gate(features, run.net.weights())
                                           : run.calibration.gate(features, run.net.weights().front());
            const auto z = run.calibration.fork<2>(run.net.shared(run.net.fuse(gated)));
            const Tensor loss = run.calibration.sum({run.net.loss(0, z[0]), run.net.loss(1, z[1])});
            const auto operators = operators_of([&] {
              loss.backward();
              run.calibration.step(run.optimizer, run.net.branch_parameters());
            });
            CHECK(waits(operators) == (&run == &runs.front()));
            CHECK(run.calibration.snapshot().diagnostics().gates == run.calibration.diagnostics().gates);
          }
          const Diagnostics right = runs[0].calibration.diagnostics();
          CHECK(right.gates[2] < 0.95);  // or nothing would be gated
          for (std::size_t k = 1; k < runs.size(); ++k) {
            expect_same(right, runs[k].calibration.diagnostics());
            CHECK(difference(copies_of(runs[k].net.parameters()), copies_of(runs[0].net.parameters())) < 1e-7);
          }
        }
      }
    }
  }
}

TEST_CASE("A run saved on a device or the host goes on on either", "[cuda]") {
  const Way way = GENERATE(Way::kernels, Way::host_rule);
  struct Run {
    Fusion net = make_fusion(FusionKind::linear, 2, true, false);
    Calibration calibration{fuller::GradNorm(), {"near", "far"}};
    torch::optim::SGD optimizer{net.parameters(), torch::optim::SGDOptions(1e-2)};

    Run(Way way, bool on_device) {
      calibration.modalities(fuller::ModalityGate(), {"lidar", "camera"});
      if (on_device) {
        calibration.use(steps_by(way));
      }
    }
    void steps(int first, int end) {
      for (int step = first; step < end; ++step) {
        optimizer.zero_grad();
        const auto z = calibration.fork<2>(net.shared(net.fuse(calibration.gate(net.features(), net.weights().front()))));
        calibration.sum({net.loss(0, z[0]), step % 5 == 3 ? Tensor() : net.loss(1, z[1])}).backward();
        optimizer.step();
        if (step % 3 == 2) {
          calibration.end_epoch();
        }
      }
    }
  };
  for (const bool from_device : {false, true}) {
    for (const bool to_device : {false, true}) {
      INFO("from " << from_device << " to " << to_device);
      Run whole(way, from_device);
      whole.steps(0, 12);
      Run first(way, from_device);
      first.steps(0, 6);
      std::stringstream archive;
      torch::save(first.calibration, archive);
      Run second(way, to_device);
      {
        const at::NoGradGuard no_grad;
        const Tensors trained = first.net.parameters();
        const Tensors fresh = second.net.parameters();
        for (std::size_t k = 0; k < fresh.size(); ++k) {
          Tensor(fresh[k]).copy_(trained[k]);
        }
      }
      torch::load(second.calibration, archive);
      CHECK(second.calibration.steps() == 6);
      CHECK(second.calibration.diagnostics().gates == first.calibration.diagnostics().gates);
      second.steps(6, 12);
      if (from_device == to_device) {
        CHECK(equal(copies_of(second.net.parameters()), copies_of(whole.net.parameters())));
        CHECK(second.calibration.diagnostics().weights == whole.calibration.diagnostics().weights);
      } else {
        CHECK(difference(copies_of(second.net.parameters()), copies_of(whole.net.parameters())) < 1e-9);
        expect_same(whole.calibration.diagnostics(), second.calibration.diagnostics());
      }
    }
  }
}

TEST_CASE("A calibration may move to a device and back between any two steps", "[cuda]") {
  const Way way = GENERATE(Way::kernels, Way::host_rule);
  Calibration still(fuller::GradNorm(), task_names(2));
  Calibration moved(fuller::GradNorm(), task_names(2));
  Network a = conv_network(2);
  Network b = conv_network(2);
  for (int step = 0; step < 6; ++step) {
    moved.use(step % 2 == 0 ? steps_by(way) : nullptr);
    const Tensors right = calibrated_gradients(still, a, a.input(step));
    CHECK(difference(calibrated_gradients(moved, b, b.input(step)), right) < 1e-9);
    expect_same(still.diagnostics(), moved.diagnostics());
  }
}

TEST_CASE("Losses that share more than the trunk wait once on a device, and are right", "[cuda]") {
  const Way way = GENERATE(Way::kernels, Way::host_rule);
  for (const ApplyTo what : {ApplyTo::all, ApplyTo::shared_only}) {
    for (const NonFinite policy : {NonFinite::propagate, NonFinite::skip}) {
      CalibrationOptions options = at_surface(Surface::all_shared);
      options.apply_to = what;
      options.non_finite = policy;
      Pair<fuller::IMTL_G> both(way, fuller::IMTL_G(), 2, options);
      Tensors found[2];
      for (const int which : {0, 1}) {
        Network net = conv_network(2);
        Calibration& calibration = which == 0 ? both.host : both.device;
        for (int step = 0; step < 2; ++step) {
          const Tensor middle = net.features(net.input(step)).front();
          const auto z = calibration.fork<2>(middle);
          // The second loss looks past the fork too.
          calibration.sum({net.loss(0, {z[0]}), net.loss(1, {z[1]}) + middle.square().mean()}).backward();
        }
        found[which] = gradients_of(net.parameters());
      }
      CHECK(difference(found[1], found[0]) < 1e-9);
      expect_same(both.host.diagnostics(), both.device.diagnostics());
    }
  }
}

TEST_CASE("Losses of different types wait for nothing on a device, and a term outside the sum is still refused", "[cuda]") {
  const Way way = GENERATE(Way::kernels, Way::host_rule);
  Pair<fuller::GradNorm> both(way, fuller::GradNorm(), 2, {});
  Tensors found[2];
  for (const int which : {0, 1}) {
    Network net = conv_network(2);
    Calibration& calibration = which == 0 ? both.host : both.device;
    const auto z = calibration.fork<2>(net.features(net.input(1)).front());
    const Tensor single = net.loss(1, {z[1]}).to(torch::kFloat);
    const Tensor total = calibration.sum({net.loss(0, {z[0]}), single});
    if (which == 1) {
      const std::string said = thrown_by([&] { (total + single).backward({}, /*retain_graph=*/true); });
      CHECK(contains(said, "term outside the calibration's sum of losses"));
      clear(net.parameters());
    }
    const auto operators = operators_of([&] { total.backward(); });
    CHECK((which == 0 || !waits(operators)));
    found[which] = gradients_of(net.parameters());
  }
  CHECK(difference(found[1], found[0]) < 1e-9);
}

TEST_CASE("A head that gives no gradient back trains on a device as on the host", "[cuda]") {
  const Way way = GENERATE(Way::kernels, Way::host_rule);
  Pair<fuller::IMTL_G> both(way, fuller::IMTL_G(), 2, {});
  Tensors found[2];
  for (const int which : {0, 1}) {
    Network net = conv_network(2);
    Calibration& calibration = which == 0 ? both.host : both.device;
    const auto z = calibration.fork<2>(net.features(net.input(1)).front());
    calibration.sum({net.loss(0, {z[0]}), net.loss(1, {Silent::apply(z[1])})}).backward();
    found[which] = gradients_of(net.parameters());
    CHECK(net.head_parameters(1)[0].grad().norm().item<double>() > 0);
  }
  CHECK(difference(found[1], found[0]) < 1e-12);
  expect_same(both.host.diagnostics(), both.device.diagnostics());
}

TEST_CASE("What a device cannot do is refused when it is asked for, and nothing has changed", "[cuda]") {
  const Way way = GENERATE(Way::kernels, Way::host_rule);
  const auto own = [](fuller::EigenEvidence, Eigen::Ref<Eigen::VectorXd> weights) { weights.setOnes(); };
  Calibration ruled(fuller::EigenRule{own}, task_names(2));
  const std::string said = thrown_by([&] { ruled.use(steps_by(way)); });
  CHECK((way == Way::kernels ? contains(said, "do not know the rule") : said.empty()));
}

TEST_CASE("On several ranks a device's steps are the host's, and wait for nothing where ranks are alike", "[cuda][ranks]") {
  const Way way = GENERATE(Way::kernels, Way::host_rule);
  // The other rank's gradients are zeros, and it has no losses: every mean is half of what is here.
  CalibrationOptions options;
  options.ranks.count = 2;
  options.ranks.alike = true;
  options.ranks.average = [](std::vector<at::Tensor>& tensors) {
    for (at::Tensor& tensor : tensors) {
      tensor.mul_(0.5);
    }
  };
  for (const Surface surface : {Surface::last_shared, Surface::representation, Surface::all_shared}) {
    options.surface = surface;
    for_rules_of_every_kind(3, [&](const auto& rule) {
      INFO(std::decay_t<decltype(rule)>::name << " at " << static_cast<int>(surface));
      check(way, rule, conv, 3, options);
    });
  }
  options.surface = Surface::representation;
  Calibration two(fuller::IMTL_G(), task_names(2), options);
  Calibration one(fuller::IMTL_G(), task_names(2), {Surface::representation});
  two.use(steps_by(way));
  Network net = conv_network(2);
  Network same = conv_network(2);
  calibrated_gradients(two, net, net.input(1));
  calibrated_gradients(one, same, same.input(1));
  CHECK(two.diagnostics().norms[0] == Approx(one.diagnostics().norms[0] / 2).epsilon(1e-12));
  CHECK(contains(thrown_by([&] { two.idle_step(); }), "options.ranks"));
}
