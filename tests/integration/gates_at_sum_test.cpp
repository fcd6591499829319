// SPDX-License-Identifier: Apache-2.0
// Gates in steps whose weights are chosen at the losses: what one task alone reaches beyond a gate, and steps in which nothing
// comes to the gate because every loss has weight 0.
#include <cmath>
#include <limits>
#include <string>
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

using namespace fuller::testing;
using fuller::ApplyTo;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::NonFinite;
using fuller::Surface;

namespace {

constexpr double no_number = std::numeric_limits<double>::quiet_NaN();

/// Branches A and B, which may both have a part E and be read around the gate too; the fusion weight W; a head for each of two
/// tasks.
struct Branched {
  Branched() {
    torch::manual_seed(5);
    x = torch::randn({7, 4}, torch::kDouble);
    A = random_parameter({3, 4});
    B = random_parameter({3, 4});
    E = random_parameter({4});
    W = random_parameter({5, 6});
    H = random_parameter({1, 5});
    K = random_parameter({2, 5});
    const torch::NoGradGuard no_grad;
    B.mul_(9);
  }
  Tensors features() const { return {(x * E).mm(A.t()), (x * E).mm(B.t())}; }
  Tensor z(const Tensors& gated) const { return torch::tanh(torch::cat(gated, 1).mm(W.t()) * 0.1); }
  Tensor loss(int task, const Tensor& of) const { return of.mm((task == 0 ? H : K).t()).pow(2).sum() * (task == 0 ? 1.0 : 0.3); }
  Tensors all() const { return {A, B, E, W, H, K}; }

  Tensor x, A, B, E, W, H, K;
};

/// What gates in the state `gates` make of d(loss)/d(A, B, E): each cotangent of a feature times its gate; what E gets around
/// them is not gated.
struct Gated {
  Tensors of_branches;  ///< A, B, E
  Tensor of_fusion;
  std::vector<double> gates;
};

Gated gated(const Branched& model, const Tensors& features, const Tensor& loss, const Tensor& around,
            std::vector<double>& state) {
  Gated out;
  out.of_fusion = gradient_of(loss, {model.W}).front();
  const std::vector<double> norms{out.of_fusion.narrow(1, 0, 3).norm().item<double>(),
                                  out.of_fusion.narrow(1, 3, 3).norm().item<double>()};
  out.gates = expected_gates(norms, state);
  const Tensors cotangents = gradient_of(loss, features);
  for (const Tensor& parameter : {model.A, model.B, model.E}) {
    Tensor sum = torch::zeros_like(parameter);
    for (std::size_t m = 0; m < 2; ++m) {
      const Tensor part = torch::autograd::grad({features[m]}, {parameter}, {cotangents[m] * out.gates[m]}, true, false, true)[0];
      sum = part.defined() ? sum + part : sum;
    }
    out.of_branches.push_back(around.defined() ? sum + gradient_of(around, {parameter}).front() : sum);
  }
  return out;
}

CalibrationOptions at_sum(ApplyTo apply_to) {
  CalibrationOptions options;
  options.surface = Surface::all_shared;
  options.apply_to = apply_to;
  return options;
}

enum class Where { host, kernels, host_rule };

template <class Rule>
Calibration gating(const Rule& rule, std::vector<std::string> tasks, const CalibrationOptions& options, Where where = Where::host,
                   const fuller::ModalityGateOptions& gate = {}) {
  static HostStream stream;
  Calibration calibration(rule, std::move(tasks), options);
  calibration.modalities(fuller::ModalityGate(gate), {"a", "b"});
  if (where != Where::host) {
    calibration.use(where == Where::kernels ? fuller::steps_on(at::kCPU, [] { return emulated_kernels; })
                                            : fuller::host_rules_on(at::kCPU, stream.launcher()));
  }
  return calibration;
}

}  // namespace

TEST_CASE("One task alone reaches the branches: they are gated, whatever its weight") {
  const Where where = GENERATE(Where::host, Where::kernels, Where::host_rule);
  for (const double weight : {1.0, 3.0, 0.0}) {
    for (const int tasks : {1, 2}) {
      for (const bool around : {false, true}) {
        INFO("weight " << weight << ", " << tasks << " tasks, around the gate too: " << around);
        Branched model;
        const fuller::TaskVector weights = tasks == 1 ? fuller::TaskVector({weight}) : fuller::TaskVector({weight, 2});
        Calibration calibration = gating(fuller::Constant(weights), task_names(tasks), at_sum(ApplyTo::shared_only), where);
        const Tensor shared = random_parameter({3});
        std::vector<double> state{1, 1};
        for (int step = 0; step < 2; ++step) {
          const Tensors features = model.features();
          const Tensor passed = around ? (features[0].pow(2) + features[1]).mean() : Tensor();
          const Gated expected = gated(model, features, model.loss(0, model.z(features)), passed, state);
          REQUIRE(expected.gates[1] < 0.95);
          clear(model.all());
          const Tensors fresh = model.features();
          const Tensors opened = calibration.gate({fresh[0], fresh[1]}, model.W);
          Tensors losses{model.loss(0, model.z(opened))};
          if (around) {
            losses[0] = losses[0] + (fresh[0].pow(2) + fresh[1]).mean();
          }
          if (tasks == 2) {  // what they share lies elsewhere
            losses = {losses[0] + shared.pow(2).sum(), shared.exp().sum()};
          }
          calibration.sum(losses).backward();
          CHECK(difference(gradients_of({model.A, model.B, model.E}), expected.of_branches) < 1e-12);
          CHECK(difference(gradients_of({model.W}), {expected.of_fusion}) < 1e-12);
          CHECK(largest_difference(calibration.diagnostics().gates, expected.gates) < 1e-12);
        }
      }
    }
  }
}

TEST_CASE("PCGrad's steps with one task alone, before any with two and after, gate the branches") {
  for (const Where where : {Where::host, Where::kernels, Where::host_rule}) {
    Branched model;
    Calibration calibration = gating(fuller::PCGrad(), {"one", "two"}, at_sum(ApplyTo::shared_only), where);
    std::vector<double> state{1, 1};
    for (const std::vector<int>& present : std::vector<std::vector<int>>{{1, 0}, {0, 1}, {1, 1}, {1, 0}}) {
      const Tensors features = model.features();
      const Tensor z = model.z(features);
      Tensor plain;
      const Tensors own{model.loss(0, z), model.loss(1, z)};
      clear(model.all());
      const Tensors opened = calibration.gate(model.features(), model.W);
      const Tensor of = model.z(opened);
      Tensors losses;
      for (int i = 0; i < 2; ++i) {
        losses.push_back(present[static_cast<std::size_t>(i)] != 0 ? model.loss(i, of) : Tensor());
      }
      calibration.sum(losses).backward();
      const std::vector<double> weights = calibration.diagnostics().weights;
      for (std::size_t i = 0; i < 2; ++i) {
        if (present[i] != 0) {
          plain = plain.defined() ? plain + own[i] * weights[i] : own[i] * weights[i];
        }
      }
      const Gated expected = gated(model, features, plain, Tensor(), state);
      CHECK(difference(gradients_of({model.A, model.B, model.E}), expected.of_branches) < 1e-12);
      CHECK(difference(gradients_of({model.W}), {expected.of_fusion}) < 1e-12);
      CHECK(largest_difference(calibration.diagnostics().gates, expected.gates) < 1e-12);
    }
  }
}

TEST_CASE("A branch that one task reads through the gate, beside one that another reads around it, with a weight each") {
  Branched model;
  Calibration calibration = gating(fuller::Constant({0.5, 3}), {"one", "two"}, at_sum(ApplyTo::shared_only));
  const Tensor W2 = random_parameter({5, 3});
  const auto losses_of = [&](const Tensors& before, const Tensors& after) {
    return Tensors{model.loss(0, model.z(after)), model.loss(1, torch::tanh(before[0].mm(W2.t())))};
  };
  const Tensors features = model.features();
  const Tensors losses = losses_of(features, features);
  const Tensor W_gradient = gradient_of(losses[0], {model.W}).front();
  std::vector<double> state{1, 1};
  const std::vector<double> gates =
      expected_gates({W_gradient.narrow(1, 0, 3).norm().item<double>(), W_gradient.narrow(1, 3, 3).norm().item<double>()}, state);
  const Tensors of_one = gradient_of(losses[0], features);
  const Tensor of_two = gradient_of(losses[1], {features[0]}).front();
  const auto back = [&](const Tensor& from, const Tensor& cotangent, const Tensor& to) {
    return torch::autograd::grad({from}, {to}, {cotangent}, true)[0];
  };
  // A and E are shared, and so weighted; B is a head of task one, and so plain.
  const Tensor at_a = 0.5 * of_one[0] * gates[0] + 3 * of_two;
  const Tensor expected_a = back(features[0], at_a, model.A);
  const Tensor expected_e = back(features[0], at_a, model.E) + back(features[1], 0.5 * of_one[1] * gates[1], model.E);
  const Tensor expected_b = back(features[1], of_one[1] * gates[1], model.B);
  const Tensors fresh = model.features();
  calibration.sum(losses_of(fresh, calibration.gate(fresh, model.W))).backward();
  CHECK(difference({model.A.grad()}, {expected_a}) < 1e-12);
  CHECK(difference({model.E.grad()}, {expected_e}) < 1e-12);
  CHECK(difference({model.B.grad()}, {expected_b}) < 1e-12);
  CHECK(difference({model.W.grad()}, {W_gradient}) < 1e-12);
  CHECK(largest_difference(calibration.diagnostics().gates, gates) < 1e-12);
}

TEST_CASE("A task that reads one gated modality alone does not reach the other's parameters") {
  Branched model;
  const Tensor W2 = random_parameter({5, 3});
  const auto losses_of = [&](const Tensors& f) {
    return Tensors{model.loss(0, model.z(f)), model.loss(1, torch::tanh(f[0].mm(W2.t())))};
  };
  const Tensors features = model.features();
  const Tensors losses = losses_of(features);
  const Tensor W_gradient = gradient_of(losses[0], {model.W}).front();
  const Tensors of_one = gradient_of(losses[0], features);
  const Tensor of_two = gradient_of(losses[1], {features[0]}).front();
  const auto back = [&](const Tensor& from, const Tensor& cotangent, const Tensor& to) {
    return torch::autograd::grad({from}, {to}, {cotangent}, true)[0];
  };
  SECTION("it is a head of the one task, and so plain") {
    Calibration calibration = gating(fuller::Constant({0.5, 3}), {"one", "two"}, at_sum(ApplyTo::shared_only));
    std::vector<double> state{1, 1};
    const std::vector<double> gates = expected_gates(
        {W_gradient.narrow(1, 0, 3).norm().item<double>(), W_gradient.narrow(1, 3, 3).norm().item<double>()}, state);
    const Tensor at_a = (0.5 * of_one[0] + 3 * of_two) * gates[0];
    calibration.sum(losses_of(calibration.gate(model.features(), model.W))).backward();
    CHECK(difference({model.A.grad()}, {back(features[0], at_a, model.A)}) < 1e-12);
    CHECK(difference({model.B.grad()}, {back(features[1], of_one[1] * gates[1], model.B)}) < 1e-12);
    CHECK(difference({model.E.grad()},
                     {back(features[0], at_a, model.E) + back(features[1], 0.5 * of_one[1] * gates[1], model.E)}) < 1e-12);
    CHECK(largest_difference(calibration.diagnostics().gates, gates) < 1e-12);
  }
  SECTION("and it is not compared") {
    Calibration calibration = gating(fuller::IMTL_G(), {"one", "two"}, at_sum(ApplyTo::all));
    const std::vector<double> weights = imtl_g(gram_at(losses, {model.A, model.E})).shared;
    calibration.sum(losses_of(calibration.gate(model.features(), model.W))).backward();
    CHECK(largest_difference(calibration.diagnostics().weights, weights) < 1e-12);
  }
}

TEST_CASE("A gate on updates gates no gradient of a task alone") {
  fuller::ModalityGateOptions gate;
  gate.target = fuller::GateTarget::update;
  Branched model;
  Calibration calibration = gating(fuller::Constant({3, 1}), {"one", "two"}, at_sum(ApplyTo::shared_only), Where::host, gate);
  const Tensors expected = gradient_of(model.loss(0, model.z(model.features())), {model.A, model.B, model.E, model.W});
  calibration.sum({model.loss(0, model.z(calibration.gate(model.features(), model.W))), Tensor()}).backward();
  CHECK(difference(gradients_of({model.A, model.B, model.E, model.W}), expected) < 1e-12);
  CHECK(calibration.diagnostics().gates[1] < 0.95);
}

TEST_CASE("A step in which every loss has weight 0 leaves the gates and their norms alone") {
  const Where where = GENERATE(Where::host, Where::kernels, Where::host_rule);
  const auto check = [&](Calibration calibration, const std::vector<int>& present, double factor, bool separate) {
    Branched model;
    const Tensor V = random_parameter({5, 3});
    const Tensor U = random_parameter({5, 3});
    const auto z_of = [&](Calibration& one) {
      if (!separate) {
        return model.z(one.gate(model.features(), model.W));
      }
      const Tensors f = one.gate(model.features(), Tensors{U, V});
      return torch::tanh(f[0].mm(U.t()) + f[1].mm(V.t()));
    };
    // A step with both tasks, which shows what they share; then the one in question.
    const Tensor first = z_of(calibration);
    calibration.sum({model.loss(0, first), model.loss(1, first)}).backward();
    const auto before = calibration.diagnostics();
    clear({model.A, model.B, model.E});
    const Tensor z = z_of(calibration);
    Tensors losses;
    for (int i = 0; i < 2; ++i) {
      losses.push_back(present[static_cast<std::size_t>(i)] != 0 ? model.loss(i, z) * factor : Tensor());
    }
    CHECK(thrown_by([&] { calibration.sum(losses).backward(); }).empty());
    const auto after = calibration.diagnostics();
    CHECK(after.gates == before.gates);
    CHECK((after.branch_norms == before.branch_norms || std::isnan(before.branch_norms[0])));
    CHECK(after.step == before.step + 1);
    for (const Tensor& parameter : {model.A, model.B, model.E}) {
      CHECK((!parameter.grad().defined() || parameter.grad().eq(0).all().item<bool>()));
    }
  };
  for (const bool separate : {false, true}) {
    CalibrationOptions skip = at_sum(ApplyTo::all);
    skip.non_finite = NonFinite::skip;
    check(gating(fuller::IMTL_G(), {"one", "two"}, skip, where), {1, 1}, no_number, separate);
    check(gating(fuller::Constant({0, 1}), {"one", "two"}, at_sum(ApplyTo::all), where), {1, 0}, 1, separate);
    CalibrationOptions nothing = at_sum(ApplyTo::all);
    nothing.before = {0, 0};
    check(gating(fuller::IMTL_G(), {"one", "two"}, nothing, where), {1, 1}, 1, separate);
  }
}

TEST_CASE("A modality that only a loss of weight 0 reads takes no part; one that nothing reads is refused") {
  Branched model;
  Calibration calibration = gating(fuller::Constant({0, 1}), {"one", "two"}, at_sum(ApplyTo::all));
  const Tensor U = random_parameter({5, 3});
  const Tensor V = random_parameter({5, 3});
  const Tensor of_two = gradient_of(model.loss(1, torch::tanh(model.features()[1].mm(V.t()))), {model.B}).front();
  Tensors f = calibration.gate(model.features(), Tensors{U, V});
  calibration.sum({model.loss(0, torch::tanh(f[0].mm(U.t()))), model.loss(1, torch::tanh(f[1].mm(V.t())))}).backward();
  CHECK(difference({model.B.grad()}, {of_two}) < 1e-12);
  CHECK(calibration.diagnostics().gates == std::vector<double>{1, 1});
  const Tensors features = model.features();
  f = calibration.gate(features, Tensors{U, V});
  const Tensor loss = calibration.sum({Tensor(), model.loss(1, torch::tanh(features[0].mm(U.t()) + f[1].mm(V.t())))});
  CHECK(contains(thrown_by([&] { loss.backward(); }), "was not used"));
}

TEST_CASE("Norms that a backward has shown are not another's: a backward that threw, and one that does not go to the weight") {
  Branched model;
  Calibration calibration = gating(fuller::Uniform(), {"one", "two"}, CalibrationOptions());
  const Tensors features = model.features();
  bool throws = true;
  const Tensors opened = calibration.gate(features, model.W);
  const Tensor joined = torch::cat(opened, 1);
  joined.register_hook([&](const Tensor& gradient) {
    if (throws) {
      throw std::runtime_error("boom");
    }
    return gradient;
  });
  const Tensor loss = model.loss(0, torch::tanh(joined.mm(model.W.t()) * 0.1));
  CHECK(contains(thrown_by([&] { loss.backward({}, /*retain_graph=*/true); }), "boom"));
  throws = false;
  CHECK(contains(thrown_by([&] { torch::autograd::grad({loss}, {model.A}, {}, /*retain_graph=*/true); }),
                 "differentiate to it too"));
  CHECK(calibration.diagnostics().gates == std::vector<double>{1, 1});
}
