// SPDX-License-Identifier: Apache-2.0
// The modality gate inside a backward: every kind of fusion layer, and what it must refuse.
#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
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

Calibration gating(int modalities, const fuller::ModalityGateOptions& options = {}) {
  Calibration calibration(fuller::Uniform(), {"one", "two"});
  std::vector<std::string> names;
  for (int m = 0; m < modalities; ++m) {
    names.push_back("m" + std::to_string(m));
  }
  calibration.modalities(fuller::ModalityGate(options), names);
  return calibration;
}

/// The plain summed loss, gated where a calibration is given.
Tensor loss_of(Fusion& net, Calibration* calibration, bool by_list = false) {
  Tensors features = net.features();
  if (calibration != nullptr) {
    features = net.readers.size() == 1 && !by_list ? calibration->gate(features, net.weights().front())
                                                   : calibration->gate(features, net.weights());
  }
  const Tensor z = net.shared(net.fuse(features));
  return net.loss(0, z) + net.loss(1, z);
}

struct Plain {
  std::vector<Tensors> branches;
  Tensors rest;
  std::vector<double> norms;
};

Plain plain_gradients(Fusion& net) {
  Plain plain;
  const Tensor loss = loss_of(net, nullptr);
  for (const Tensors& branch : net.branch_parameters()) {
    plain.branches.push_back(gradient_of(loss, branch));
  }
  plain.rest = gradient_of(loss, net.readers_and_trunk());
  plain.norms = branch_norms(net, gradient_of(loss, net.weights()));
  return plain;
}

void expect_gated(Fusion& net, const Plain& plain, const std::vector<double>& scales) {
  for (std::size_t m = 0; m < plain.branches.size(); ++m) {
    Tensors expected;
    for (const Tensor& gradient : plain.branches[m]) {
      expected.push_back(gradient * scales[m]);
    }
    CHECK(difference(gradients_of(net.branches[m]->parameters()), expected) < 1e-12);
  }
  CHECK(difference(gradients_of(net.readers_and_trunk()), plain.rest) < 1e-13);
}

}  // namespace

TEST_CASE("Gates multiply each branch's gradient and nothing else, over several steps") {
  for (const FusionKind kind : {FusionKind::conv2d, FusionKind::conv3d, FusionKind::linear, FusionKind::sequence}) {
    for (const int modalities : {2, 3}) {
      for (const bool bias : {false, true}) {
        for (const bool separate : {false, true}) {
          INFO("kind " << static_cast<int>(kind) << ", " << modalities << " modalities, bias " << bias << ", separate "
                       << separate);
          Fusion net = make_fusion(kind, modalities, bias, separate);
          Calibration calibration = gating(modalities);
          std::vector<double> state(static_cast<std::size_t>(modalities), 1.0);
          for (int step = 0; step < 3; ++step) {
            for (Tensor& input : net.inputs) {
              input = input * 1.1;
            }
            const Plain plain = plain_gradients(net);
            const std::vector<double> scales = expected_gates(plain.norms, state);
            REQUIRE(*std::min_element(scales.begin(), scales.end()) < 0.95);  // or nothing would be gated
            clear(net.parameters());
            loss_of(net, &calibration).backward();
            expect_gated(net, plain, scales);
            const fuller::Diagnostics seen = calibration.diagnostics();
            CHECK(largest_difference(seen.gates, scales) < 1e-12);
            CHECK(largest_difference(seen.branch_norms, plain.norms) < 1e-12 * plain.norms.back());
            const auto [least, most] = std::minmax_element(plain.norms.begin(), plain.norms.end());
            CHECK(std::abs(seen.gamma_modal / (*most / *least) - 1) < 1e-12);
          }
        }
      }
    }
  }
}

TEST_CASE("A frozen branch, a silent branch, an absent modality") {
  SECTION("a frozen branch is compared with, and left alone") {
    Fusion net = make_fusion(FusionKind::conv2d, 2, true, false);
    for (Tensor& parameter : net.branches[0]->parameters()) {
      parameter.set_requires_grad(false);
    }
    const Tensor loss = loss_of(net, nullptr);
    const Tensors own = gradient_of(loss, net.branches[1]->parameters());
    std::vector<double> state{1, 1};
    const auto scales = expected_gates(branch_norms(net, gradient_of(loss, net.weights())), state);
    Calibration calibration = gating(2);
    loss_of(net, &calibration).backward();
    CHECK(difference(gradients_of(net.branches[1]->parameters()), {own[0] * scales[1], own[1] * scales[1]}) < 1e-12);
    CHECK(largest_difference(calibration.diagnostics().gates, scales) < 1e-12);
    CHECK_FALSE(net.branches[0]->parameters()[0].grad().defined());
  }
  SECTION("features of zeros take no part") {
    Fusion net = make_fusion(FusionKind::linear, 3, false, false);
    for (Tensor& parameter : net.branches[1]->parameters()) {
      torch::NoGradGuard guard;
      parameter.zero_();
    }
    const Plain plain = plain_gradients(net);
    CHECK(plain.norms[1] == 0);
    std::vector<double> state{1, 1, 1};
    const auto scales = expected_gates(plain.norms, state);
    CHECK(scales[1] == 1);
    Calibration calibration = gating(3);
    clear(net.parameters());
    loss_of(net, &calibration).backward();
    expect_gated(net, plain, scales);
    CHECK(largest_difference(calibration.diagnostics().gates, scales) < 1e-12);
  }
  SECTION("absent modalities keep their gates, one weight or many") {
    for (const bool separate : {false, true}) {
      Fusion net = make_fusion(FusionKind::conv2d, 3, true, separate);
      Calibration calibration = gating(3);
      std::vector<double> state{1, 1, 1};
      const auto step = [&](const std::vector<bool>& present) {
        const auto features = [&](bool gated) {
          Tensors all = net.features();
          const Tensors sizes = all;
          for (std::size_t m = 0; m < 3; ++m) {
            all[m] = present[m] ? all[m] : Tensor();
          }
          if (gated) {
            all = separate ? calibration.gate(all, net.weights()) : calibration.gate(all, net.weights().front());
          }
          for (std::size_t m = 0; m < 3 && !separate; ++m) {
            all[m] = all[m].defined() ? all[m] : torch::zeros_like(sizes[m]);
          }
          return all;
        };
        const Tensor plain = net.loss(0, net.shared(net.fuse(features(false))));
        std::vector<double> norms = branch_norms(net, gradient_of(plain, net.weights()));
        for (std::size_t m = 0; m < 3; ++m) {
          norms[m] = present[m] ? norms[m] : 0;
        }
        const auto scales = expected_gates(norms, state);
        std::vector<Tensors> own;
        for (const Tensors& branch : net.branch_parameters()) {
          own.push_back(gradient_of(plain, branch));
        }
        clear(net.parameters());
        net.loss(0, net.shared(net.fuse(features(true)))).backward();
        for (std::size_t m = 0; m < 3; ++m) {
          CHECK(difference(gradients_of(net.branches[m]->parameters()), {own[m][0] * scales[m], own[m][1] * scales[m]}) < 1e-12);
        }
        CHECK(largest_difference(calibration.diagnostics().gates, scales) < 1e-12);
      };
      step({false, true, true});
      step({true, true, true});
      step({true, false, true});
      step({false, true, false});  // alone: nothing to compare with
      step({true, true, false});
    }
  }
}

TEST_CASE("Gates inside a checkpoint that holds the fusion; a checkpoint of the fusion alone is refused") {
  Fusion net = make_fusion(FusionKind::conv2d, 2, true, false);
  const Plain plain = plain_gradients(net);
  std::vector<double> state{1, 1};
  const auto scales = expected_gates(plain.norms, state);
  Calibration calibration = gating(2);
  CheckpointOf::Segment gate_and_fuse = [&](const Tensors& features) {
    return net.fuse(calibration.gate(features, net.weights().front()));
  };
  clear(net.parameters());
  const Tensors features = net.features();
  Tensor z = net.shared(CheckpointOf::apply(at::TensorList(features), &gate_and_fuse));
  (net.loss(0, z) + net.loss(1, z)).backward();
  expect_gated(net, plain, scales);
  CHECK(largest_difference(calibration.diagnostics().gates, scales) < 1e-12);

  CheckpointOf::Segment fuse = [&](const Tensors& gated) { return net.fuse(gated); };
  const Tensors gated = calibration.gate(net.features(), net.weights().front());
  z = net.shared(CheckpointOf::apply(at::TensorList(gated), &fuse));
  CHECK(contains(thrown_by([&] { net.loss(0, z).backward(); }), "checkpoint"));
}

TEST_CASE("A checkpointed branch is gated like any other") {
  Fusion net = make_fusion(FusionKind::conv2d, 2, true, false);
  const Plain plain = plain_gradients(net);
  std::vector<double> state{1, 1};
  const auto scales = expected_gates(plain.norms, state);
  Calibration calibration = gating(2);
  clear(net.parameters());
  net.inputs[0].set_requires_grad(true);
  Tensors features = net.features();
  features[0] = Checkpoint::apply(net.inputs[0], net.branches[0]);
  const Tensor z = net.shared(net.fuse(calibration.gate(features, net.weights().front())));
  (net.loss(0, z) + net.loss(1, z)).backward();
  expect_gated(net, plain, scales);
}

TEST_CASE("What a gate cannot do it refuses in words") {
  Fusion net = make_fusion(FusionKind::conv2d, 2, true, false);
  const Tensor weight = net.weights().front();
  Calibration none(fuller::Uniform(), {"one", "two"});
  CHECK(contains(thrown_by([&] { none.gate(net.features(), weight); }), "modalities"));
  CHECK(contains(thrown_by([&] { none.modalities(fuller::ModalityGate(), {"alone"}); }), "two names"));
  CHECK(contains(thrown_by([&] { none.modalities(fuller::ModalityGate(), {"same", "same"}); }), "twice"));
  Calibration calibration = gating(2);
  CHECK(contains(thrown_by([&] { calibration.gate({net.features()[0]}, weight); }), "1 branches for 2"));
  CHECK(contains(thrown_by([&] { calibration.gate({net.features()[1], net.features()[1]}, weight); }), "channels"));
  CHECK_FALSE(thrown_by([&] { calibration.gate(net.features(), Tensor()); }).empty());
  CHECK(contains(thrown_by([&] { calibration.gate(net.features(), weight.detach()); }), "trained parameter"));
  CHECK(contains(thrown_by([&] { calibration.gate(net.features(), weight * 1.0); }), "trained parameter"));
  CHECK(contains(thrown_by([&] { calibration.gate(net.features(), Tensors{weight, weight, weight}); }), "3 fusion weights"));

  // The weight is read a second time further back: its gradient is complete only after the gates.
  Tensors features = net.features();
  features[0] = features[0] * weight.mean();
  features = calibration.gate(features, weight);
  CHECK(contains(thrown_by([&] { net.loss(0, net.shared(net.fuse(features))).backward(); }), "second time"));
  // Only branch parameters asked for: the fusion weight's gradient is never formed.
  features = calibration.gate(net.features(), weight);
  const Tensor loss = net.loss(0, net.shared(net.fuse(features)));
  CHECK(contains(thrown_by([&] { torch::autograd::grad({loss}, net.branches[0]->parameters()); }), "fusion weight"));
  // One weight for two branches that are equally wide.
  const Tensor one = torch::randn({4, 3, 1, 1}, torch::dtype(torch::kDouble).requires_grad(true));
  const Tensor narrow = net.features()[0];
  CHECK(contains(thrown_by([&] { calibration.gate<2>({narrow, narrow}, {one, one}); }), "'m0' and 'm1'"));
  // A branch that goes past its gate.
  features = net.features();
  const Tensors through = calibration.gate(features, weight);
  CHECK(contains(thrown_by([&] {
                   net.loss(0, net.shared(net.fuse({through[0], features[1]}))).backward();
                 }),
                 "what gate() gave for 'm1' was not used"));
  // Two calls in one step.
  const auto gated_loss = [&] { return net.loss(0, net.shared(net.fuse(calibration.gate(net.features(), weight)))); };
  CHECK(contains(thrown_by([&] { (gated_loss() + gated_loss()).backward(); }), "gate() was called more than once"));
  const Tensors first = calibration.gate(net.features(), weight);
  const Tensors second = calibration.gate(net.features(), weight);
  const Tensor two_frames = net.loss(0, net.shared(net.fuse(first))) + net.loss(0, net.shared(net.fuse(second)));
  CHECK(contains(thrown_by([&] { two_frames.backward(); }), "gate() was called more than once"));
  // The rule belongs to another calibration, whose passes for each task run through the gates.
  fuller::CalibrationOptions everything;
  everything.surface = fuller::Surface::all_shared;
  Calibration rule(fuller::IMTL_G(), {"one", "two"}, everything);
  const auto v = rule.fork<2>(net.shared(net.fuse(calibration.gate(net.features(), weight))));
  CHECK(contains(thrown_by([&] { rule.sum({net.loss(0, v[0]), net.loss(1, v[1])}).backward(); }), "to one Calibration"));
  // create_graph would gate twice.
  features = calibration.gate(net.features(), weight);
  CHECK(contains(thrown_by([&] { net.loss(0, net.shared(net.fuse(features))).backward({}, true, true); }), "create_graph"));
  // After all this the next step is as ever.
  clear(net.parameters());
  const Plain plain = plain_gradients(net);
  std::vector<double> state{1, 1};
  const auto scales = expected_gates(plain.norms, state);
  clear(net.parameters());
  loss_of(net, &calibration).backward();
  expect_gated(net, plain, scales);
  CHECK(largest_difference(calibration.diagnostics().gates, scales) < 1e-12);
}

TEST_CASE("Branches that the fusion layer reads in another order than gate() got them are refused") {
  for (const FusionKind kind : {FusionKind::conv2d, FusionKind::conv3d, FusionKind::linear, FusionKind::sequence}) {
    for (const bool channels_last : {false, true}) {
      if (channels_last && kind != FusionKind::conv2d) {
        continue;
      }
      Fusion net = make_fusion(kind, 3, true, false);
      Calibration calibration = gating(3);
      const auto loss_in_order = [&](const std::vector<std::size_t>& order) {
        const Tensors through = calibration.gate(net.features(), net.weights().front());
        Tensor joined = torch::cat({through[order[0]], through[order[1]], through[order[2]]}, net.channels);
        joined = channels_last ? joined.contiguous(at::MemoryFormat::ChannelsLast) : joined;
        return net.loss(0, net.shared(net.readers[0]->forward(joined)));
      };
      CHECK(contains(thrown_by([&] { loss_in_order({1, 0, 2}).backward(); }), "reads 'm1' before 'm0'"));
      CHECK(contains(thrown_by([&] { loss_in_order({0, 2, 1}).backward(); }), "concatenate the branches in the order of gate()"));
      CHECK(thrown_by([&] { loss_in_order({0, 1, 2}).backward(); }).empty());
    }
  }
}

TEST_CASE("Another backward through the fusion weight leaves the gates alone") {
  Fusion net = make_fusion(FusionKind::conv2d, 2, true, false);
  const Plain plain = plain_gradients(net);
  std::vector<double> state{1, 1};
  const auto scales = expected_gates(plain.norms, state);
  Calibration calibration = gating(2);
  const Tensor loss = loss_of(net, &calibration);
  (net.readers[0]->forward(torch::randn({1, 8, 5, 5}, torch::kDouble)) * 100).pow(2).sum().backward();
  CHECK(largest_difference(calibration.diagnostics().gates, {1, 1}) == 0);
  clear(net.parameters());
  loss.backward();
  expect_gated(net, plain, scales);
  (net.readers[0]->forward(torch::randn({1, 8, 5, 5}, torch::kDouble)) * 100).pow(2).sum().backward();
  CHECK(largest_difference(calibration.diagnostics().gates, scales) < 1e-12);
  CHECK(largest_difference(calibration.diagnostics().branch_norms, plain.norms) < 1e-11);
}

TEST_CASE("Two gated steps whose forwards overlap, and a graph walked twice") {
  Fusion net = make_fusion(FusionKind::linear, 2, true, false);
  const Plain plain = plain_gradients(net);
  std::vector<double> state{1, 1};
  Calibration calibration = gating(2);
  const Tensor a = loss_of(net, &calibration);
  const Tensor b = loss_of(net, &calibration);
  clear(net.parameters());
  b.backward();
  expect_gated(net, plain, expected_gates(plain.norms, state));
  clear(net.parameters());
  a.backward({}, true);
  expect_gated(net, plain, expected_gates(plain.norms, state));
  clear(net.parameters());
  a.backward();
  expect_gated(net, plain, expected_gates(plain.norms, state));
}

TEST_CASE("Without gradients, gates are the identity; a calibration that is gone leaves no hook") {
  Fusion net = make_fusion(FusionKind::conv2d, 2, true, false);
  const Tensors features = net.features();
  {
    Calibration calibration = gating(2);
    const torch::NoGradGuard guard;
    CHECK(calibration.gate(features, net.weights().front())[0].is_same(features[0]));
  }
  const Plain plain = plain_gradients(net);
  std::optional<Calibration> calibration(gating(2));
  const Tensor loss = loss_of(net, &*calibration);
  calibration.reset();  // the graph keeps what it needs
  std::vector<double> state{1, 1};
  const auto scales = expected_gates(plain.norms, state);
  clear(net.parameters());
  loss.backward();
  expect_gated(net, plain, scales);
  clear(net.parameters());
  loss_of(net, nullptr).backward();  // and nobody listens any more
  expect_gated(net, plain, {1, 1});
}

TEST_CASE("The gate on updates: SGD moves as under gated gradients, AdamW can no longer cancel it") {
  const auto make = [] { return make_fusion(FusionKind::conv2d, 2, true, false); };
  fuller::ModalityGateOptions on_updates;
  on_updates.target = fuller::GateTarget::update;
  /// How far each parameter moves in one step, and the gates.
  const auto moves = [&](bool adam, int how, std::vector<double>* gates) {
    Fusion net = make();
    const Tensors before = copies_of(net.parameters());
    Calibration calibration = gating(2, how == 2 ? on_updates : fuller::ModalityGateOptions());
    loss_of(net, how == 0 ? nullptr : &calibration).backward();
    std::unique_ptr<torch::optim::Optimizer> optimizer;
    if (adam) {
      optimizer =
          std::make_unique<torch::optim::AdamW>(net.parameters(), torch::optim::AdamWOptions(1e-2).eps(1e-30).weight_decay(0.1));
    } else {
      optimizer = std::make_unique<torch::optim::SGD>(net.parameters(), torch::optim::SGDOptions(1e-2));
    }
    if (how == 0) {
      optimizer->step();
    } else {
      calibration.step(*optimizer, net.branch_parameters());
    }
    if (gates != nullptr) {
      *gates = calibration.diagnostics().gates;
    }
    Tensors moved;
    const Tensors after = net.parameters();
    for (std::size_t k = 0; k < after.size(); ++k) {
      moved.push_back((after[k] - before[k]).detach());
    }
    return moved;
  };
  const auto scaled = [&](Tensors moved, const std::vector<double>& gates) {
    for (std::size_t k = 0; k < 4; ++k) {  // two branches of a weight and a bias each come first
      moved[k] = moved[k] * gates[k / 2];
    }
    return moved;
  };
  std::vector<double> gates;
  const Tensors sgd = moves(false, 0, nullptr);
  CHECK(difference(moves(false, 1, nullptr), moves(false, 2, &gates)) < 1e-10);
  REQUIRE(gates[1] < 0.95);
  CHECK(difference(moves(false, 2, nullptr), scaled(sgd, gates)) < 1e-10);
  const Tensors adam = moves(true, 0, nullptr);
  CHECK(difference(moves(true, 1, nullptr), adam) < 1e-10);  // a gate on gradients is divided out again
  CHECK(difference(moves(true, 2, &gates), scaled(adam, gates)) < 1e-10);
}

TEST_CASE("step() refuses a parameter that is in two branches before anything has moved") {
  Fusion net = make_fusion(FusionKind::linear, 2, true, false);
  fuller::ModalityGateOptions on_updates;
  on_updates.target = fuller::GateTarget::update;
  Calibration calibration = gating(2, on_updates);
  loss_of(net, &calibration).backward();
  torch::optim::SGD optimizer(net.parameters(), 0.1);
  const Tensors before = copies_of(net.parameters());
  const Tensors branch = net.branches[0]->parameters();
  CHECK(contains(thrown_by([&] { calibration.step(optimizer, {branch, branch}); }), "twice"));
  CHECK(contains(thrown_by([&] { calibration.step(optimizer, {branch}); }), "1 branches"));
  CHECK(equal(copies_of(net.parameters()), before));
}
