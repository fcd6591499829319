// SPDX-License-Identifier: Apache-2.0
// Gate laws other than FULLER's: on the host, in the order of a device's stream, refused by kernels; saved under their name.
#include <cmath>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <torch/torch.h>

#include <fuller/engine/host_rules.hpp>
#include <fuller/engine/steps.hpp>
#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/emulated_kernels.hpp"
#include "support/fusion.hpp"
#include "support/host_stream.hpp"
#include "support/multi_backward.hpp"
#include "support/pages.hpp"

using namespace fuller::testing;
using fuller::Calibration;

namespace {

struct Watch {
  std::vector<std::thread::id> threads;
  std::string throws;  // in calls to come
};

/// Scales that make all branches' norms the smallest of them, to the power 1 / calls: state that is not one number a branch.
struct Equaliser {
  static constexpr const char* name = "equaliser";
  std::shared_ptr<Watch> watch = std::make_shared<Watch>();

  int state_size(int /*branches*/) const { return 1; }
  int scratch_size(int branches) const { return branches; }
  void initialise(int /*branches*/, double* state) const { state[0] = 0; }
  template <class Lanes, int Branches>
  void operator()(Lanes /*lanes*/, const fuller::BranchEvidence<Branches>& evidence, double* state, double* scales,
                  double* scratch) const {
    watch->threads.push_back(std::this_thread::get_id());
    state[0] += 1;
    double least = std::numeric_limits<double>::infinity();
    for (int m = 0; m < evidence.branches(); ++m) {
      scratch[m] = std::sqrt(evidence.squared_norms[m]);
      least = evidence.present[m] != 0 ? std::min(least, scratch[m]) : least;
      scales[m] = -1;
    }
    if (!watch->throws.empty()) {
      throw std::runtime_error(watch->throws);
    }
    for (int m = 0; m < evidence.branches(); ++m) {
      scales[m] = evidence.present[m] != 0 ? std::pow(least / scratch[m], 1 / state[0]) : 1.0;
    }
  }
};

std::vector<double> equalised(const std::vector<double>& norms, int call) {
  const double least = *std::min_element(norms.begin(), norms.end());
  std::vector<double> scales;
  for (const double norm : norms) {
    scales.push_back(std::pow(least / norm, 1.0 / call));
  }
  return scales;
}

struct Run {
  explicit Run(bool separate = false) : net(make_fusion(FusionKind::conv2d, 3, true, separate)) {
    calibration.modalities(law, {"a", "b", "c"});
  }

  Tensor loss(bool gated) {
    Tensors features = net.features();
    if (gated) {
      features =
          net.readers.size() == 1 ? calibration.gate(features, net.weights().front()) : calibration.gate(features, net.weights());
    }
    const Tensor z = net.shared(net.fuse(features));
    return calibration.sum({net.loss(0, z), net.loss(1, z)});
  }

  /// One gated backward, held against plain ones.
  void expect_equalised(int call, double tolerance) {
    const Tensor plain = loss(false);
    std::vector<Tensors> of_branches;
    for (const Tensors& branch : net.branch_parameters()) {
      of_branches.push_back(gradient_of(plain, branch));
    }
    const std::vector<double> norms = branch_norms(net, gradient_of(plain, net.weights()));
    const std::vector<double> scales = equalised(norms, call);
    REQUIRE(*std::min_element(scales.begin(), scales.end()) < 0.9);  // or nothing would be gated
    clear(net.parameters());
    loss(true).backward();
    for (std::size_t m = 0; m < 3; ++m) {
      Tensors expected;
      for (const Tensor& gradient : of_branches[m]) {
        expected.push_back(gradient * scales[m]);
      }
      CHECK(difference(gradients_of(net.branches[m]->parameters()), expected) < tolerance);
    }
    const fuller::Diagnostics seen = calibration.diagnostics();
    CHECK(largest_difference(seen.gates, scales) < tolerance);
    CHECK(calibration.snapshot().diagnostics().gates == seen.gates);
  }

  Equaliser law;
  Fusion net;
  Calibration calibration{fuller::Uniform(), {"one", "two"}, fuller::CalibrationOptions{fuller::Surface::all_shared}};
};

static_assert(fuller::is_gate<fuller::ModalityGate>::value);
static_assert(fuller::is_gate<Equaliser>::value);
static_assert(!fuller::is_gate<fuller::IMTL_G>::value);  // a rule has evidence of another kind
static_assert(!fuller::is_gate<fuller::ModalityGateOptions>::value);

}  // namespace

TEST_CASE("A custom gate law gates on the host, one fusion weight or several, with state of any size") {
  for (const bool separate : {false, true}) {
    Run run(separate);
    for (int call = 1; call <= 3; ++call) {
      run.expect_equalised(call, 1e-11);
    }
    CHECK(run.law.watch->threads.size() == 3);
    CHECK(run.law.watch->threads.back() != std::thread::id());
  }
}

TEST_CASE("A custom gate law gates in the order of a device's stream, in its thread, and its state moves along") {
  HostStream stream;
  Run run;
  run.expect_equalised(1, 1e-11);
  run.calibration.use(fuller::host_rules_on(at::kCPU, stream.launcher()));
  run.expect_equalised(2, 1e-11);
  CHECK(run.law.watch->threads.back() == stream.thread());
  const Tensor loss = run.loss(true);
  CHECK_FALSE(waits(operators_of([&] { loss.backward(); })));
  run.calibration.use(nullptr);
  run.expect_equalised(4, 1e-11);
  CHECK(run.law.watch->threads.back() != stream.thread());
}

TEST_CASE("Kernels refuse a custom gate law in words, and nothing has changed") {
  const auto kernels = fuller::steps_on(at::kCPU, [] { return emulated_kernels; });
  Run run;
  run.expect_equalised(1, 1e-11);
  const std::string said = thrown_by([&] { run.calibration.use(kernels); });
  CHECK(contains(said, "do not know the gate law 'equaliser'"));
  CHECK(contains(said, "host_rules_on"));
  run.expect_equalised(2, 1e-11);
  // In the other order as well; the gates of before stay.
  Calibration other(fuller::Uniform(), {"one", "two"});
  other.use(kernels);
  other.modalities(fuller::ModalityGate(), {"x", "y"});
  CHECK(contains(thrown_by([&] { other.modalities(Equaliser(), {"a", "b"}); }), "do not know the gate law 'equaliser'"));
  CHECK(other.diagnostics().modalities == std::vector<std::string>{"x", "y"});
}

TEST_CASE("A custom gate law may act on updates: modalities() is told so") {
  HostStream stream;
  for (const bool in_stream : {false, true}) {
    Run run;
    run.calibration.modalities(run.law, {"a", "b", "c"}, fuller::GateTarget::update);
    if (in_stream) {
      run.calibration.use(fuller::host_rules_on(at::kCPU, stream.launcher()));
    }
    const Tensor plain = run.loss(false);
    const std::vector<double> scales = equalised(branch_norms(run.net, gradient_of(plain, run.net.weights())), 1);
    const std::vector<Tensors> branches = run.net.branch_parameters();
    std::vector<Tensors> expected(3);
    for (std::size_t m = 0; m < 3; ++m) {
      for (const Tensor& parameter : branches[m]) {
        expected[m].push_back(parameter.detach() - 0.01 * scales[m] * gradient_of(plain, {parameter}).front());
      }
    }
    clear(run.net.parameters());
    run.loss(true).backward();
    torch::optim::SGD sgd(run.net.parameters(), torch::optim::SGDOptions(0.01));
    run.calibration.step(sgd, branches);
    for (std::size_t m = 0; m < 3; ++m) {
      CHECK(difference(copies_of(branches[m]), expected[m]) < 1e-12);
    }
  }
}

TEST_CASE("What a gate law throws ends the step on the host, and is said by the next call in a stream; its state is as it was") {
  HostStream stream;
  for (const bool in_stream : {false, true}) {
    Run run;
    if (in_stream) {
      run.calibration.use(fuller::host_rules_on(at::kCPU, stream.launcher()));
    }
    run.expect_equalised(1, 1e-11);
    run.law.watch->throws = "not today";
    const Tensor plain = run.loss(false);
    const Tensors own = gradient_of(plain, run.net.branches[2]->parameters());
    clear(run.net.parameters());
    const Tensor loss = run.loss(true);
    const std::string at_once = thrown_by([&] { loss.backward(); });
    run.law.watch->throws.clear();
    CHECK(contains(at_once, "not today") != in_stream);
    if (in_stream) {
      CHECK(difference(gradients_of(run.net.branches[2]->parameters()), own) < 1e-12);  // scales of 1
      const std::string later = thrown_by([&] { static_cast<void>(run.calibration.diagnostics()); });
      CHECK(contains(later, "the gate law 'equaliser' threw on the host: not today"));
      CHECK(thrown_by([&] { static_cast<void>(run.calibration.diagnostics()); }).empty());  // once
    }
    CHECK(run.calibration.diagnostics().gates == std::vector<double>{1, 1, 1});
    run.expect_equalised(2, 1e-11);
  }
}

TEST_CASE("Gates are saved under their law's name; a run of before, which has none, is one of FULLER's gate") {
  Run run;
  run.expect_equalised(1, 1e-11);
  Pages saved;
  run.calibration.save(saved);
  Run resumed;
  resumed.calibration.load(saved);
  CHECK(resumed.calibration.diagnostics().gates == run.calibration.diagnostics().gates);
  resumed.expect_equalised(2, 1e-11);

  const auto fuller_gated = [] {
    Calibration calibration(fuller::Uniform(), {"one", "two"}, fuller::CalibrationOptions{fuller::Surface::all_shared});
    calibration.modalities(fuller::ModalityGate(), {"a", "b", "c"});
    return calibration;
  };
  Calibration of_fuller = fuller_gated();
  CHECK(contains(thrown_by([&] { of_fuller.load(saved); }), "gate law of the saved calibration: 'equaliser'"));
  Pages nothing_happened;
  of_fuller.save(nothing_happened);
  CHECK(nothing_happened.pages.at("gates").equal(torch::ones({3}, torch::kDouble)));

  Pages before;
  of_fuller.save(before);
  before.pages.erase("gate_law");
  before.pages["gate_state"] = before.pages["gates"] = torch::tensor({0.5, 0.25, 1.0}, torch::kDouble);
  Calibration now = fuller_gated();
  now.load(before);
  CHECK(now.diagnostics().gates == std::vector<double>{0.5, 0.25, 1});
  Run custom;
  CHECK(contains(thrown_by([&] { custom.calibration.load(before); }), "'FULLER gate'"));

  // Scales that are no numbers are refused for any law.
  saved.pages["gates"][0] = std::nan("");
  CHECK(contains(thrown_by([&] { custom.calibration.load(saved); }), "which no step leaves"));
}

TEST_CASE("gamma_modal leaves out a branch whose gradient is zero, and takes the norm that the gates take") {
  for (const auto norm : {fuller::GateNorm::l2, fuller::GateNorm::rms}) {
    Fusion net = make_fusion(FusionKind::linear, 3, false, false);
    for (Tensor& parameter : net.branches[1]->parameters()) {
      const torch::NoGradGuard no_grad;
      parameter.zero_();
    }
    fuller::ModalityGateOptions options;
    options.norm = norm;
    Calibration calibration(fuller::Uniform(), {"one", "two"});
    calibration.modalities(fuller::ModalityGate(options), {"a", "b", "c"});
    const auto loss = [&](const Tensors& features) {
      const Tensor z = net.shared(net.fuse(features));
      return net.loss(0, z) + net.loss(1, z);
    };
    std::vector<double> norms = branch_norms(net, gradient_of(loss(net.features()), net.weights()));
    REQUIRE(norms[1] == 0);
    loss(calibration.gate(net.features(), net.weights().front())).backward();
    const fuller::Diagnostics seen = calibration.diagnostics();
    CHECK(largest_difference(seen.branch_norms, norms) < 1e-12 * norms[2]);
    const double ratio = norms[2] / norms[0];  // slices of 3 and 7 channels
    const double expected = norm == fuller::GateNorm::l2 ? ratio : ratio * std::sqrt(3.0 / 7.0);
    CHECK(std::abs(seen.gamma_modal / std::max(expected, 1 / expected) - 1) < 1e-12);
    CHECK(calibration.snapshot().diagnostics().gamma_modal == seen.gamma_modal);
  }
}
