// SPDX-License-Identifier: Apache-2.0
// Gates on updates that no calibration.step() applied: said, once, and only where an optimiser has passed them by.
#include <functional>
#include <string>
#include <vector>

#include <torch/torch.h>

#include <fuller/engine/host_rules.hpp>
#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/fusion.hpp"
#include "support/host_stream.hpp"

using namespace fuller::testing;
using fuller::Calibration;

namespace {

struct UpdatingRun {
  explicit UpdatingRun(const fuller::ModalityGateOptions& gate = on_updates()) {
    calibration.modalities(fuller::ModalityGate(gate), {"lidar", "camera"});
  }
  static fuller::ModalityGateOptions on_updates() {
    fuller::ModalityGateOptions gate;
    gate.target = fuller::GateTarget::update;
    return gate;
  }
  void backward() {
    Tensors features = calibration.gate(net.features(), net.weights().front());
    const Tensor z = net.shared(net.fuse(features));
    calibration.sum({net.loss(0, z), net.loss(1, z)}).backward();
  }
  std::string said() {
    return thrown_by([&] { backward(); });
  }

  Fusion net = make_fusion(FusionKind::linear, 2, true, false);
  Calibration calibration{fuller::Uniform(), {"one", "two"}, fuller::CalibrationOptions{fuller::Surface::all_shared}};
  torch::optim::AdamW optimizer{net.parameters(), torch::optim::AdamWOptions(0.01)};
};

}  // namespace

TEST_CASE("optimizer.step() in place of calibration.step() is said at the next gate(), once") {
  UpdatingRun run;
  run.backward();
  run.optimizer.step();
  const std::string said = run.said();
  CHECK(contains(said, "never applied"));
  CHECK(contains(said, "calibration.step(optimizer"));
  CHECK(run.said().empty());
  run.optimizer.step();
  // sum() says it too, where a step has no gate.
  const Tensor z = run.net.shared(run.net.fuse(run.net.features()));
  CHECK(contains(thrown_by([&] { run.calibration.sum({run.net.loss(0, z), run.net.loss(1, z)}); }), "never applied"));
}

TEST_CASE("SGD, which leaves the versions of what it writes, is seen by the values") {
  UpdatingRun run;
  torch::optim::SGD sgd(run.net.parameters(), torch::optim::SGDOptions(0.01));
  run.backward();
  sgd.step();
  CHECK(contains(run.said(), "never applied"));
}

TEST_CASE("A branch of which some parameters are frozen is watched by the others") {
  UpdatingRun run;
  run.backward();
  for (const Tensors& branch : run.net.branch_parameters()) {  // frozen after the backward: no optimiser writes it
    branch[1].mutable_grad().reset();
    branch[1].set_requires_grad(false);
  }
  run.optimizer.step();
  CHECK(contains(run.said(), "never applied"));
  SECTION("frozen altogether, there is nothing to watch") {
    UpdatingRun frozen;
    frozen.backward();
    for (const Tensors& branch : frozen.net.branch_parameters()) {
      for (const Tensor& parameter : branch) {
        parameter.set_requires_grad(false);
      }
    }
    CHECK(frozen.said().empty());
  }
}

TEST_CASE("calibration.step() after an optimiser has moved a branch, or with lists that are not the branches'") {
  UpdatingRun run;
  const std::vector<Tensors> branches = run.net.branch_parameters();
  const auto step_with = [&](const std::vector<Tensors>& lists) {
    return thrown_by([&] { run.calibration.step(run.optimizer, lists); });
  };
  for (int step = 0; step < 3; ++step) {  // until a gate is other than 1
    run.backward();
    run.calibration.step(run.optimizer, branches);
    run.optimizer.zero_grad();
  }
  run.backward();
  const std::vector<double> gates = run.calibration.diagnostics().gates;
  REQUIRE((gates[0] != 1.0 || gates[1] != 1.0));
  const Tensor before = branches[0].front().detach().clone();
  CHECK(contains(step_with({branches[1], branches[0]}), "in the order of modalities()"));
  CHECK(contains(step_with({{}, {}}), "none of which lies upstream of its gate"));
  CHECK(before.equal(branches[0].front()));
  CHECK(step_with(branches).empty());

  run.backward();
  run.optimizer.step();
  CHECK(contains(step_with(branches), "never applied"));
}

TEST_CASE("A step whose backward passed no gate is not gated") {
  UpdatingRun run;
  for (int step = 0; step < 3; ++step) {
    run.backward();
    run.calibration.step(run.optimizer, run.net.branch_parameters());
    run.optimizer.zero_grad();
  }
  const std::vector<double> gates = run.calibration.diagnostics().gates;
  REQUIRE((gates[0] != 1.0 || gates[1] != 1.0));
  torch::optim::SGD sgd(run.net.parameters(), torch::optim::SGDOptions(0.01));
  const Tensor z = run.net.shared(run.net.fuse(run.net.features()));
  run.calibration.sum({run.net.loss(0, z), run.net.loss(1, z)}).backward();
  const std::vector<Tensors> branches = run.net.branch_parameters();
  Tensors expected;
  for (const Tensors& branch : branches) {
    expected.push_back(branch.front().detach() - 0.01 * branch.front().grad());
  }
  run.calibration.step(sgd, branches);
  for (std::size_t m = 0; m < branches.size(); ++m) {
    CHECK((branches[m].front() - expected[m]).abs().max().item<double>() < 1e-15);
  }
}

TEST_CASE("Steps on a device say it as well") {
  static HostStream stream;
  UpdatingRun run;
  run.calibration.use(fuller::host_rules_on(at::kCPU, stream.launcher()));
  run.backward();
  run.optimizer.step();
  CHECK(contains(run.said(), "never applied"));
}

TEST_CASE("No alarm where gates on updates were applied, or nothing was to be") {
  SECTION("calibration.step()") {
    UpdatingRun run;
    for (int step = 0; step < 3; ++step) {
      CHECK(run.said().empty());
      run.calibration.step(run.optimizer, run.net.branch_parameters());
    }
  }
  SECTION("micro-batches, then one step") {
    UpdatingRun run;
    for (int step = 0; step < 6; ++step) {
      CHECK(run.said().empty());
      if (step % 3 == 2) {
        run.calibration.step(run.optimizer, run.net.branch_parameters());
        run.optimizer.zero_grad();
      }
    }
  }
  SECTION("a scaler that skips a step, and evaluation in between") {
    UpdatingRun run;
    CHECK(run.said().empty());
    run.optimizer.zero_grad();
    {
      const torch::NoGradGuard no_grad;
      const Tensors features = run.calibration.gate(run.net.features(), run.net.weights().front());
      CHECK(features.size() == 2);
    }
    CHECK(run.said().empty());
  }
  SECTION("something that writes one parameter of each branch, such as a bound on its bias") {
    UpdatingRun run;
    CHECK(run.said().empty());
    {
      const torch::NoGradGuard no_grad;
      for (const Tensors& branch : run.net.branch_parameters()) {
        branch[1].clamp_(-1, 1);
      }
    }
    CHECK(run.said().empty());
  }
  SECTION("an optimiser of the rest alone") {
    UpdatingRun run;
    torch::optim::SGD rest(run.net.readers_and_trunk(), torch::optim::SGDOptions(0.01));
    CHECK(run.said().empty());
    rest.step();
    CHECK(run.said().empty());
  }
  SECTION("a gate that only measures") {
    auto gate = UpdatingRun::on_updates();
    gate.floor = 1;
    UpdatingRun run(gate);
    for (int step = 0; step < 3; ++step) {
      CHECK(run.said().empty());
      run.optimizer.step();
    }
  }
  SECTION("gates on gradients") {
    UpdatingRun run{fuller::ModalityGateOptions()};
    for (int step = 0; step < 3; ++step) {
      CHECK(run.said().empty());
      run.optimizer.step();
    }
  }
}
