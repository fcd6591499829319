// SPDX-License-Identifier: Apache-2.0
// Gates upstream of what all tasks share, where all of it is compared: the weighted sums of the task gradients train, and those
// of each branch wait for its scale, which follows from the fusion weight's sum; so T tasks take T passes. Where a sum cannot be
// taken apart, or something must see the pass that trains, there is one more.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/device_ways.hpp"
#include "support/fusion.hpp"
#include "support/multi_backward.hpp"

using namespace fuller::testing;
using fuller::ApplyTo;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::Diagnostics;

namespace {

struct Doubles : torch::autograd::Function<Doubles> {
  static Tensor forward(torch::autograd::AutogradContext* /*context*/, const Tensor& x) { return 2 * x; }
  static Tensors backward(torch::autograd::AutogradContext* /*context*/, const Tensors& gradients) { return {2 * gradients[0]}; }
};

/// Branches A and B, in which something may lie, a part E that only some models have, the fusion weight W, a trunk C, and two
/// heads.
struct Model {
  std::function<Tensors()> features = [this] { return Tensors{in_a(x.mm(A.t())), x.mm(B.t())}; };
  std::function<Tensor(const Tensor&)> in_a = [](const Tensor& h) { return h.tanh(); };
  std::function<Tensor(const Tensors&, const Tensors&)> trunk = [this](const Tensors& /*before*/, const Tensors& gated) {
    return torch::sigmoid(torch::cat(gated, 1).mm(W.t()) * 0.1).mm(C);
  };
  Tensor x, A, B, C, E, W, H, K;

  Model() {
    torch::manual_seed(7);
    x = torch::randn({9, 4}, torch::kDouble);
    A = random_parameter({3, 4});
    B = random_parameter({3, 4});
    C = random_parameter({5, 5});
    E = random_parameter({4});
    W = random_parameter({5, 6});
    H = random_parameter({1, 5});
    K = random_parameter({2, 5});
    const torch::NoGradGuard no_grad;
    B.mul_(9);
  }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  Tensors losses(const Tensor& of_one, const Tensor& of_two) const {
    return {of_one.mm(H.t()).sin().sum(), of_two.mm(K.t()).pow(2).sum() - 3 * of_two.sum()};
  }
  Tensors shared() const { return {A, B, E, W, C}; }
  Tensors all() const { return {A, B, E, W, C, H, K}; }

  Tensor loss(Calibration& calibration, bool forks) {
    const Tensors before = features();
    const Tensor z = trunk(before, calibration.gate(before, W));
    const auto of_tasks = forks ? calibration.fork(z) : Tensors{z, z};
    return calibration.sum(losses(of_tasks[0], of_tasks[1]));
  }
};

/// What a step must leave: IMTL-G's weights from the gradients of everything that is shared, ungated; gates from the weighted
/// gradient of the fusion weight; each feature's cotangent times its gate, and what goes around the gates as it is.
struct Expected {
  std::vector<double> weights;
  std::vector<double> gates;
  Tensors gradients;  ///< A, B, E, W, C, H, K
};

Expected by_hand(Model& model, std::vector<double>& state, bool weighted_heads) {
  const Tensors features = model.features();
  Tensors cut;
  for (const Tensor& feature : features) {
    cut.push_back(feature.detach().requires_grad_());
  }
  const Tensor z = model.trunk(features, features);
  Expected out;
  const Weights weights = imtl_g(gram_at(model.losses(z, z), model.shared()));
  out.weights = weights.shared;
  const auto weighted = [&](const Tensor& of) {
    const Tensors losses = model.losses(of, of);
    return weights.shared[0] * losses[0] + weights.shared[1] * losses[1];
  };
  const Tensor of_fusion = gradient_of(weighted(z), {model.W}).front();
  out.gates =
      expected_gates({of_fusion.narrow(1, 0, 3).norm().item<double>(), of_fusion.narrow(1, 3, 3).norm().item<double>()}, state);
  const Tensor around = weighted(model.trunk(features, cut));
  const Tensors of_shared = gradient_of(around, model.shared());
  const Tensors cotangents = gradient_of(around, cut);
  for (std::size_t k = 0; k < of_shared.size(); ++k) {
    Tensor sum = of_shared[k];
    for (std::size_t m = 0; m < 2; ++m) {
      const Tensor through =
          torch::autograd::grad({features[m]}, {model.shared()[k]}, {cotangents[m] * out.gates[m]}, true, false, true)[0];
      sum = through.defined() ? sum + through : sum;
    }
    out.gradients.push_back(sum);
  }
  const Tensors losses = model.losses(z, z);
  const std::vector<double> of_heads = weighted_heads ? weights.heads : std::vector<double>{1, 1};
  out.gradients.push_back(of_heads[0] * gradient_of(losses[0], {model.H})[0]);
  out.gradients.push_back(of_heads[1] * gradient_of(losses[1], {model.K})[0]);
  return out;
}

CalibrationOptions all_shared(ApplyTo apply_to = ApplyTo::shared_only) {
  CalibrationOptions options;
  options.surface = fuller::Surface::all_shared;
  options.apply_to = apply_to;
  return options;
}

Calibration gating(const CalibrationOptions& options = all_shared(), const fuller::ModalityGateOptions& gate = {}) {
  Calibration calibration(fuller::IMTL_G(), {"one", "two"}, options);
  calibration.modalities(fuller::ModalityGate(gate), {"a", "b"});
  return calibration;
}

/// A step of `calibration`, which must leave what is expected, by sums or, where `why` is not empty, by one pass more.
void check_step(Model& model, Calibration& calibration, const Expected& expected, bool forks, const std::string& why = "") {
  clear(model.all());
  const Tensor loss = model.loss(calibration, forks);
  const auto operators = operators_of([&] { loss.backward(); });
  const Diagnostics shown = calibration.diagnostics();
  INFO(shown.one_more);
  CHECK(shown.summed == why.empty());
  CHECK((why.empty() ? shown.one_more.empty() : contains(shown.one_more, why)));
  CHECK(shown.passes == 2);
  // The branch's one tanh, as often as a gradient passed it.
  CHECK(operators.count("aten::tanh_backward") == (why.empty() ? 2 : 3));
  CHECK(largest_difference(shown.weights, expected.weights) < 1e-11);
  CHECK(largest_difference(shown.gates, expected.gates) < 1e-11);
  CHECK(difference(gradients_of(model.all()), expected.gradients) < 1e-11);
}

}  // namespace

TEST_CASE("Gated sums: T passes for T tasks, over several steps, on the host and in a device's order") {
  for (const int way : {0, 1, 2}) {
    for (const bool forks : {true, false}) {
      for (const ApplyTo apply_to : {ApplyTo::all, ApplyTo::shared_only}) {
        INFO("way " << way << ", fork " << forks << ", apply to " << static_cast<int>(apply_to));
        Model model;
        Calibration calibration = gating(all_shared(apply_to));
        if (way != 0) {
          calibration.use(steps_by(way == 1 ? Way::kernels : Way::host_rule));
        }
        std::vector<int> calls(model.all().size(), 0);
        Tensors seen(model.all().size());
        for (std::size_t k = 0; k < seen.size(); ++k) {
          model.all()[k].register_hook([&, k](const Tensor& gradient) {
            ++calls[k];
            seen[k] = gradient.clone();
          });
        }
        std::vector<double> state{1, 1};
        for (int step = 0; step < 3; ++step) {
          model.x = model.x * 1.1;
          const Expected expected = by_hand(model, state, apply_to == ApplyTo::all);
          REQUIRE(expected.gates[1] < 0.95);  // or nothing would be gated
          calls.assign(calls.size(), 0);
          check_step(model, calibration, expected, forks);
          for (std::size_t k = 0; k < 5; ++k) {  // of what is shared, and in use
            CHECK(calls[k] == (k == 2 ? 0 : 1));
            CHECK((k == 2 || difference({seen[k]}, {expected.gradients[k]}) < 1e-11));
          }
        }
      }
    }
  }
}

TEST_CASE("Gated sums: on a device no step waits") {
  for (const Way way : {Way::kernels, Way::host_rule}) {
    Model model;
    Calibration calibration = gating();
    calibration.use(steps_by(way));
    for (int step = 0; step < 2; ++step) {
      const Tensor loss = model.loss(calibration, /*forks=*/true);
      CHECK_FALSE(waits(operators_of([&] { loss.backward(); })));
    }
    CHECK(calibration.diagnostics().summed);
  }
}

TEST_CASE("Gated sums: what cannot be taken apart, or has to be seen, takes one pass more, which is said") {
  const bool forks = GENERATE(true, false);
  Model model;
  std::string why = "reached through a gate and in another way";
  int calls = 0;
  Tensor last;
  SECTION("a parameter of both branches") {
    why = "of shape [4] is reached through a gate and in another way";
    model.features = [&] {
      return Tensors{model.in_a((model.x * model.E).mm(model.A.t())), (model.x * model.E).mm(model.B.t())};
    };
  }
  SECTION("a layer of both branches") {
    why = "reached through a gate and in another way, at MulBackward0";
    model.features = [&] {
      const Tensor h = model.x * model.E;
      return Tensors{model.in_a(h.mm(model.A.t())), h.mm(model.B.t())};
    };
  }
  SECTION("a feature that is read around its gate too") {
    model.trunk = [&](const Tensors& before, const Tensors& gated) {
      return torch::sigmoid(torch::cat(gated, 1).mm(model.W.t()) * 0.1).mm(model.C) + before[1].sum(1, true).sin();
    };
  }
  SECTION("a parameter of a branch in the trunk") {
    model.trunk = [&](const Tensors& /*before*/, const Tensors& gated) {
      return torch::sigmoid(torch::cat(gated, 1).mm(model.W.t()) * 0.1).mm(model.C) * model.B.mean();
    };
  }
  SECTION("a hook in a branch, which sees the tasks' gradients and, last, the gated sum") {
    why = "a hook or retain_grad() on an activation, at TanhBackward";
    model.in_a = [&](const Tensor& h) {
      const Tensor y = h.tanh();
      y.register_hook([&](const Tensor& gradient) {
        ++calls;
        last = gradient.clone();
      });
      return y;
    };
  }
  SECTION("a hook on what a gate gives") {
    why = "a hook or retain_grad() on an activation, at ";
    model.trunk = [&](const Tensors& before, const Tensors& gated) {
      if (!gated[0].is_same(before[0])) {
        gated[0].register_hook([&](const Tensor& /*gradient*/) { ++calls; });
      }
      return torch::sigmoid(torch::cat(gated, 1).mm(model.W.t()) * 0.1).mm(model.C);
    };
  }
  SECTION("a function of the user's in a branch") {
    why = "a function that is not LibTorch's own";
    model.in_a = [](const Tensor& h) { return Doubles::apply(h.tanh()); };
  }
  std::vector<double> state{1, 1};
  Calibration calibration = gating();
  for (int step = 0; step < 2; ++step) {
    const Expected expected = by_hand(model, state, /*weighted_heads=*/false);
    calls = 0;
    check_step(model, calibration, expected, forks, why);
    CHECK((calls == 0 || calls == 3));
    if (last.defined()) {
      const Tensor y = model.in_a(model.x.mm(model.A.t()));
      CHECK(difference({torch::autograd::grad({y}, {model.A}, {last})[0]}, {expected.gradients[0]}) < 1e-11);
      last = Tensor();
    }
  }
}

TEST_CASE("Gated sums: terms outside the sum are gated where they read gated features, and only there") {
  for (const bool forks : {true, false}) {
    Model model;
    std::vector<double> state{1, 1};
    Expected expected = by_hand(model, state, /*weighted_heads=*/false);
    const auto outside = [&](const Tensors& before, const Tensors& gated) {
      return 0.1 * (model.A.pow(2).sum() + model.B.pow(3).sum()) + before[1].cos().sum() + gated[0].pow(2).sum();
    };
    // Gated by what the fusion weight's gradient says, in which these terms have no part.
    const Tensors features = model.features();
    const Tensors of_gated = gradient_of(features[0].pow(2).sum() * expected.gates[0], {model.A, model.B});
    const Tensors of_others = gradient_of(outside(features, {features[0].detach()}), {model.A, model.B});
    for (std::size_t k = 0; k < 2; ++k) {
      expected.gradients[k] = expected.gradients[k] + of_gated[k] + of_others[k];
    }
    clear(model.all());
    Calibration calibration = gating();
    const Tensors before = model.features();
    const Tensors gated = calibration.gate(before, model.W);
    const Tensor z = model.trunk(before, gated);
    const auto of_tasks = forks ? calibration.fork(z) : Tensors{z, z};
    (calibration.sum(model.losses(of_tasks[0], of_tasks[1])) + outside(before, gated)).backward();
    CHECK(calibration.diagnostics().summed);
    CHECK(largest_difference(calibration.diagnostics().gates, expected.gates) < 1e-11);
    CHECK(difference(gradients_of(model.all()), expected.gradients) < 1e-11);
  }
}

TEST_CASE("Gated sums: two sums of one gate in one backward, by sums both, or one of them by one pass more") {
  for (const bool hooked : {false, true}) {
    Model model;
    const Tensor U = random_parameter({1, 5});
    const Tensor V = random_parameter({2, 5});
    const Tensors shared{model.A, model.B, model.W, model.C};
    const auto other = [&](const Tensors& of) { return Tensors{of[0].mm(U.t()).cos().sum(), of[1].mm(V.t()).sin().sum()}; };
    const Tensor z = model.trunk({}, model.features());
    Tensor weighted = torch::zeros({}, torch::kDouble);
    for (const Tensors& losses : {model.losses(z, z), other({z * 2, z * 2})}) {
      const std::vector<double> weights = imtl_g(gram_at(losses, shared)).shared;
      weighted = weighted + weights[0] * losses[0] + weights[1] * losses[1];
    }
    Tensors expected = gradient_of(weighted, shared);
    std::vector<double> state{1, 1};
    const std::vector<double> gates = expected_gates(
        {expected[2].narrow(1, 0, 3).norm().item<double>(), expected[2].narrow(1, 3, 3).norm().item<double>()}, state);
    expected[0] = expected[0] * gates[0];
    expected[1] = expected[1] * gates[1];

    Calibration calibration = gating();
    clear(shared);
    const Tensor fresh = model.trunk({}, calibration.gate(model.features(), model.W));
    const auto first = calibration.fork<2>(fresh);
    Tensor doubled = fresh * 2;
    if (hooked) {
      doubled.register_hook([](const Tensor& gradient) { return gradient; });
    }
    const auto second = calibration.fork<2>(doubled);
    const Tensor loss = calibration.sum(model.losses(first[0], first[1]));
    const Tensor another = calibration.sum(other({second[0], second[1]}));
    const auto operators = operators_of([&] { (loss + another).backward(); });
    CHECK(operators.count("aten::tanh_backward") == (hooked ? 5 : 4));
    CHECK(largest_difference(calibration.diagnostics().gates, gates) < 1e-11);
    CHECK(difference(gradients_of(shared), expected) < 1e-11);
  }
}

TEST_CASE("Gated sums: one graph that is walked twice, and one whose backward threw in between") {
  Model model;
  std::vector<double> state{1, 1};
  Calibration calibration = gating();
  const Expected first = by_hand(model, state, /*weighted_heads=*/false);
  const Tensor loss = model.loss(calibration, /*forks=*/true);
  clear(model.all());
  loss.backward({}, /*retain_graph=*/true);
  CHECK(difference(gradients_of(model.all()), first.gradients) < 1e-11);
  bool throws = true;
  const auto id = model.W.register_hook([&](const Tensor& /*gradient*/) {
    if (throws) {
      throw std::runtime_error("not now");
    }
  });
  CHECK(contains(thrown_by([&] { loss.backward({}, /*retain_graph=*/true); }), "not now"));
  throws = false;
  const Expected again = by_hand(model, state, /*weighted_heads=*/false);  // of gates that have not moved since the first
  clear(model.all());
  loss.backward();
  model.W.remove_hook(id);
  CHECK(calibration.diagnostics().summed);
  CHECK(largest_difference(calibration.diagnostics().gates, again.gates) < 1e-11);
  CHECK(difference(gradients_of(model.all()), again.gradients) < 1e-11);
}

TEST_CASE("Gated sums: gates on updates, or that only measure, leave the sums as they are, and move") {
  for (const bool on_updates : {true, false}) {
    Model model;
    fuller::ModalityGateOptions gate;
    gate.target = on_updates ? fuller::GateTarget::update : fuller::GateTarget::gradient;
    gate.floor = on_updates ? gate.floor : 1;
    std::vector<double> state{1, 1};
    std::vector<double> none{1, 1};
    const Expected expected = by_hand(model, state, /*weighted_heads=*/false);
    Calibration calibration = gating(all_shared(), gate);
    model.loss(calibration, /*forks=*/true).backward();
    const Diagnostics shown = calibration.diagnostics();
    CHECK(shown.summed);
    CHECK(largest_difference(shown.gates, on_updates ? expected.gates : none) < 1e-11);
    CHECK(shown.gamma_modal > 1);
    const Tensor z = model.trunk({}, model.features());
    const Tensors losses = model.losses(z, z);
    CHECK(difference(gradients_of({model.A, model.B}),
                     gradient_of(shown.weights[0] * losses[0] + shown.weights[1] * losses[1], {model.A, model.B})) < 1e-11);
  }
}

TEST_CASE("Gated sums: what a gate refuses is refused as in a pass that trains") {
  Model model;
  Calibration calibration = gating();
  const auto said = [&](const std::function<Tensor(const Tensors&, const Tensors&)>& trunk) {
    model.trunk = trunk;
    return thrown_by([&] { model.loss(calibration, /*forks=*/true).backward(); });
  };
  const auto fused = [&](const Tensor& a, const Tensor& b) { return torch::cat({a, b}, 1).mm(model.W.t()); };
  CHECK(contains(said([&](const Tensors&, const Tensors& gated) { return fused(gated[1], gated[0]); }), "reads 'b' before 'a'"));
  CHECK(contains(said([&](const Tensors& before, const Tensors& gated) { return fused(gated[0], before[1]); }),
                 "what gate() gave for 'b' was not used"));
  CHECK(contains(
      said([&](const Tensors&, const Tensors& gated) { return fused(gated[0], calibration.gate(model.features(), model.W)[1]); }),
      "more than once"));
  const std::vector<double> gates = calibration.diagnostics().gates;
  CHECK(gates == std::vector<double>{1, 1});
}
