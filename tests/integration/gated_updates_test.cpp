// SPDX-License-Identifier: Apache-2.0
// Gates on updates that no calibration.step() applied: said, once, and only where an optimiser has passed them by.
#include <functional>
#include <string>
#include <vector>

#include <torch/torch.h>

#include <fuller/device/host_rules.hpp>
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
