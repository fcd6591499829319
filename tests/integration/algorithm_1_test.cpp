// SPDX-License-Identifier: Apache-2.0
// FULLER's whole Algorithm 1, ten SGD steps in one ordinary backward each, against a loop over explicit gradients.
#include <string>
#include <vector>

#include <torch/torch.h>

#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/fusion.hpp"
#include "support/multi_backward.hpp"

using namespace fuller::testing;
using fuller::Calibration;

namespace {

constexpr double learning_rate = 0.02;

/// Lines 1-11 with explicit gradients: one pass per task for its weight, one per task for everything, gates, a plain SGD step.
void reference_step(Fusion& net, bool gated, std::vector<double>& gate_state) {
  const Tensor z = net.shared(net.fuse(net.features()));
  const Tensors losses{net.loss(0, z), net.loss(1, z)};
  const Tensors surface{net.trunk->parameters().front()};
  const Weights weights = imtl_g(gram_at(losses, surface));  // lines 2-3

  std::vector<Tensors> heads;
  for (const auto& head : net.heads) {
    heads.push_back(head->parameters());
  }
  Tensors shared;
  for (const Tensors& branch : net.branch_parameters()) {
    append(shared, branch);
  }
  append(shared, net.readers_and_trunk());
  Tensors gradients = weighted_gradients(losses, shared, heads, weights);  // lines 4-5
  if (gated) {                                                             // lines 6-10
    const Tensors of_fusion(1, gradients[2 * net.branches.size()]);
    const std::vector<double> scales = expected_gates(branch_norms(net, of_fusion), gate_state);
    for (std::size_t m = 0; m < net.branches.size(); ++m) {
      gradients[2 * m] = gradients[2 * m] * scales[m];
      gradients[2 * m + 1] = gradients[2 * m + 1] * scales[m];
    }
  }
  const torch::NoGradGuard guard;
  const Tensors parameters = net.parameters();
  for (std::size_t k = 0; k < parameters.size(); ++k) {
    Tensor parameter = parameters[k];
    parameter.sub_(learning_rate * gradients[k]);
  }
}

}  // namespace

TEST_CASE("Algorithm 1 in one backward: parameters after ten steps equal those of explicit gradients") {
  for (const FusionKind kind : {FusionKind::conv2d, FusionKind::conv3d, FusionKind::linear, FusionKind::sequence}) {
    for (const int modalities : {2, 3}) {
      for (const bool gated : {false, true}) {
        INFO("kind " << static_cast<int>(kind) << ", " << modalities << " modalities, gated " << gated);
        Fusion net = make_fusion(kind, modalities, true, false);
        Fusion twin = make_fusion(kind, modalities, true, false);
        REQUIRE(equal(net.parameters(), twin.parameters()));
        Calibration calibration(fuller::IMTL_G(), {"near", "far"});
        std::vector<std::string> names{"a", "b", "c"};
        names.resize(static_cast<std::size_t>(modalities));
        calibration.modalities(fuller::ModalityGate(), names);
        torch::optim::SGD optimizer(net.parameters(), learning_rate);
        std::vector<double> gate_state(static_cast<std::size_t>(modalities), 1.0);
        const Tensors start = copies_of(net.parameters());
        for (int step = 0; step < 10; ++step) {
          for (std::size_t m = 0; m < net.inputs.size(); ++m) {
            torch::manual_seed(static_cast<std::uint64_t>(100 * step) + m);
            net.inputs[m] = torch::randn_like(net.inputs[m]);
            twin.inputs[m] = net.inputs[m];
          }
          optimizer.zero_grad();
          Tensors features = net.features();
          if (gated) {
            features = calibration.gate(features, net.weights().front());
          }
          const auto z = calibration.fork<2>(net.shared(net.fuse(features)));
          calibration.sum({net.loss(0, z[0]), net.loss(1, z[1])}).backward();
          optimizer.step();
          reference_step(twin, gated, gate_state);
        }
        CHECK(difference(copies_of(net.parameters()), copies_of(twin.parameters())) < 1e-12);
        CHECK(difference(copies_of(net.parameters()), start) > 1e-3);  // it did train
        if (gated) {
          CHECK(largest_difference(calibration.diagnostics().gates, gate_state) < 1e-12);
          CHECK(gate_state.back() < 0.9);
        }
      }
    }
  }
}

TEST_CASE("The fusion layer as last shared layer: its gradient is measured per task and gates the branches") {
  for (const FusionKind kind : {FusionKind::conv2d, FusionKind::linear}) {
    Fusion net = make_fusion(kind, 2, true, false);
    Fusion twin = make_fusion(kind, 2, true, false);
    Calibration calibration(fuller::IMTL_G(), {"near", "far"});
    calibration.modalities(fuller::ModalityGate(), {"a", "b"});
    std::vector<double> gate_state(2, 1.0);
    torch::optim::SGD optimizer(net.parameters(), learning_rate);
    for (Tensor& parameter : net.trunk->parameters()) {
      parameter.set_requires_grad(false);  // or the heads would share it
    }
    for (Tensor& parameter : twin.trunk->parameters()) {
      parameter.set_requires_grad(false);
    }
    for (int step = 0; step < 5; ++step) {
      optimizer.zero_grad();
      const auto z = calibration.fork<2>(net.fuse(calibration.gate(net.features(), net.weights().front())));
      calibration.sum({net.loss(0, net.shared(z[0])), net.loss(1, net.shared(z[1]))}).backward();
      optimizer.step();

      const Tensor fused = twin.fuse(twin.features());
      const Tensors losses{twin.loss(0, twin.shared(fused)), twin.loss(1, twin.shared(fused))};
      const Weights weights = imtl_g(gram_at(losses, twin.weights()));
      Tensors shared;
      for (const Tensors& branch : twin.branch_parameters()) {
        append(shared, branch);
      }
      append(shared, twin.readers[0]->parameters());
      Tensors gradients = weighted_gradients(losses, shared, {twin.heads[0]->parameters(), twin.heads[1]->parameters()}, weights);
      const auto scales = expected_gates(branch_norms(twin, {gradients[4]}), gate_state);
      Tensors moved = shared;
      append(moved, twin.heads[0]->parameters());
      append(moved, twin.heads[1]->parameters());
      const torch::NoGradGuard guard;
      for (std::size_t k = 0; k < moved.size(); ++k) {
        moved[k].sub_(learning_rate * gradients[k] * (k < 4 ? scales[k / 2] : 1.0));
      }
    }
    CHECK(difference(copies_of(net.parameters()), copies_of(twin.parameters())) < 1e-12);
    CHECK(largest_difference(calibration.diagnostics().gates, gate_state) < 1e-12);
  }
}

TEST_CASE("Gates see the one gradient that trains, however many passes measured the tasks") {
  for (const bool past_the_fork : {false, true}) {  // the weights are chosen at the fork, or at the losses
    Fusion net = make_fusion(FusionKind::conv2d, 2, true, false);
    const auto losses_of = [&](const Tensors& z, const Tensor& fused) {
      const Tensor skip = past_the_fork ? fused.sin().mean() : torch::zeros({}, torch::kDouble);
      return Tensors{net.loss(0, z[0]) + skip, net.loss(1, z[1])};
    };
    const Tensor fused = net.fuse(net.features());
    const Tensor z = net.shared(fused);
    const Tensors losses = losses_of({z, z}, fused);
    Tensors shared;
    for (const Tensors& branch : net.branch_parameters()) {
      append(shared, branch);
    }
    append(shared, net.readers_and_trunk());
    const Eigen::MatrixXd M = gram_at(losses, shared);
    Weights weights = RuleAlone<fuller::PCGrad>(fuller::PCGrad(), 2)(M, values_of(losses));
    weights.heads = {1, 1};
    Tensors expected = weighted_gradients(losses, shared, {net.heads[0]->parameters(), net.heads[1]->parameters()}, weights);
    std::vector<double> gate_state(2, 1.0);
    const auto scales = expected_gates(branch_norms(net, {expected[4]}), gate_state);
    for (std::size_t k = 0; k < 4; ++k) {
      expected[k] = expected[k] * scales[k / 2];
    }
    Calibration calibration(fuller::PCGrad(), {"near", "far"});
    calibration.modalities(fuller::ModalityGate(), {"a", "b"});
    clear(net.parameters());
    const Tensor gated = net.fuse(calibration.gate(net.features(), net.weights().front()));
    const auto v = calibration.fork<2>(net.shared(gated));
    calibration.sum(losses_of({v[0], v[1]}, gated)).backward();
    CHECK(difference(gradients_of(net.parameters()), expected) < 1e-12);
    CHECK(largest_difference(calibration.diagnostics().gates, gate_state) < 1e-12);
  }
}
