// SPDX-License-Identifier: Apache-2.0
// Tasks that are absent, gradients that are zero or not finite, loss scales, low precision, diagnostics.
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <torch/torch.h>
#include <Eigen/Core>

#include <fuller/eigen.hpp>
#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/fusion.hpp"
#include "support/multi_backward.hpp"
#include "support/networks.hpp"

using namespace fuller::testing;
using fuller::ApplyTo;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::Condition;
using fuller::NonFinite;
using fuller::Surface;

namespace {

using Made = std::function<Calibration(const CalibrationOptions&)>;

struct NamedRule {
  const char* name;
  Made make;
};

std::vector<NamedRule> rules(int tasks) {
  fuller::GradNormOptions sgd;
  sgd.learning_rate = 5e-3;
  fuller::GradNormOptions adam;
  adam.optimizer = fuller::GradNormOptions::Optimizer::adam;
  const auto names = task_names(tasks);
  return {{"IMTL-G", [=](const CalibrationOptions& o) { return Calibration(fuller::IMTL_G(), names, o); }},
          {"GradNorm by SGD", [=](const CalibrationOptions& o) { return Calibration(fuller::GradNorm(sgd), names, o); }},
          {"GradNorm by Adam", [=](const CalibrationOptions& o) { return Calibration(fuller::GradNorm(adam), names, o); }},
          {"DWA", [=](const CalibrationOptions& o) { return Calibration(fuller::DWA(), names, o); }},
          {"PCGrad", [=](const CalibrationOptions& o) { return Calibration(fuller::PCGrad(), names, o); }},
          {"wPCGrad", [=](const CalibrationOptions& o) { return Calibration(fuller::WPCGrad<>(), names, o); }}};
}

/// Forgets the second weight from the second step on.
struct Forgets {
  static constexpr const char* name = "Forgets";
  void operator()(const fuller::EigenEvidence& e, Eigen::Ref<Eigen::VectorXd> weights) const {
    weights[0] = 1;
    if (e.step == 0) {
      weights[1] = 1;
    }
  }
};

/// The losses with task 1's broken: `value` reaches its head and the trunk, or, `behind_head`, the trunk alone.
Tensor broken_loss(Calibration& calibration, Network& net, const Tensor& x, double value, bool behind_head) {
  const auto v = calibration.fork_levels(net.features(x));
  Tensors losses;
  for (int i = 0; i < net.tasks(); ++i) {
    const auto task = static_cast<std::size_t>(i);
    if (i != 1) {
      losses.push_back(net.loss(i, v[task]));
    } else if (behind_head) {
      losses.push_back(net.loss(i, {Replaces::apply(v[task][0], value)}));
    } else {
      losses.push_back(Replaces::apply(net.loss(i, v[task]), value));
    }
  }
  return calibration.sum(losses);
}

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinite = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("A step without a task equals that of a calibration which never heard of it") {
  Network net = conv_network(3);
  Network pair = conv_network(3);
  pair.heads.erase(pair.heads.begin() + 1);
  const Tensor x = net.input(1);
  const auto all = rules(3);
  for (std::size_t r = 0; r < all.size(); ++r) {
    INFO(all[r].name);
    Calibration calibration = all[r].make({});
    const Tensors gradients = calibrated_gradients(calibration, net, x, {1, 0, 1});
    // Of the pair, task 1 is what is task 2 here: its loss has that task's index in it.
    Tensors losses = plain_losses(net, x);
    const Eigen::MatrixXd M = gram_at({losses[0], losses[2]}, r < 4 ? net.last : net.shared_parameters());
    const std::vector<double> weights = calibration.diagnostics().weights;
    CHECK(weights[1] == 0);
    CHECK(calibration.diagnostics().conditions[1] == Condition::absent);
    const bool heads_too = r < 4;
    CHECK(difference(gradients, expected_gradients(net, x, {weights, heads_too ? weights : std::vector<double>{1, 0, 1}})) <
          1e-12);
    if (r == 0) {
      const Weights two = imtl_g(M);
      CHECK(largest_difference({weights[0], weights[2]}, two.shared) < 1e-12);
    } else if (r == 3) {
      CHECK(largest_difference(weights, {1, 0, 1}) == 0);
    } else if (r == 4) {
      CHECK(largest_difference({weights[0], weights[2]},
                               {1 + std::max(0.0, -M(0, 1) / M(0, 0)), 1 + std::max(0.0, -M(0, 1) / M(1, 1))}) < 1e-12);
    }
    for (const Tensor& parameter : net.head_parameters(1)) {
      CHECK_FALSE(parameter.grad().defined());
    }
  }
}

TEST_CASE("A task alone keeps the weight it last had, or is one of one") {
  Network net = conv_network(3);
  const Tensor x = net.input(1);
  for (const fuller::Missing missing : {fuller::Missing::hold, fuller::Missing::renormalise}) {
    CalibrationOptions options;
    options.missing = missing;
    Calibration imtl(fuller::IMTL_G(), task_names(3), options);
    calibrated_gradients(imtl, net, x);
    const double last = imtl.diagnostics().weights[2];
    REQUIRE(last > 0);
    REQUIRE(last < 0.9);
    calibrated_gradients(imtl, net, x, {1, 1, 0});
    const Tensors alone = calibrated_gradients(imtl, net, x, {0, 0, 1});
    const double weight = missing == fuller::Missing::hold ? last : 1.0;
    CHECK(largest_difference(imtl.diagnostics().weights, {0, 0, weight}) < 1e-15);
    CHECK(difference(alone, expected_gradients(net, x, {{0, 0, weight}, {0, 0, weight}})) < 1e-12);

    // GradNorm: an absent task keeps its weight; the others share what it leaves of T, or add up to their number.
    fuller::GradNormOptions chosen;
    chosen.learning_rate = 5e-3;
    chosen.use = fuller::GradNormOptions::Use::updated;
    Calibration grad_norm(fuller::GradNorm(chosen), task_names(3), options);
    calibrated_gradients(grad_norm, net, x);
    const std::vector<double> before = grad_norm.diagnostics().weights;
    calibrated_gradients(grad_norm, net, net.input(2), {1, 0, 1});
    const std::vector<double> pair = grad_norm.diagnostics().weights;
    CHECK(std::abs(pair[0] + pair[2] - (missing == fuller::Missing::hold ? 3 - before[1] : 2)) < 1e-14);
    calibrated_gradients(grad_norm, net, x, {0, 1, 0});
    CHECK(std::abs(grad_norm.diagnostics().weights[1] - (missing == fuller::Missing::hold ? before[1] : 1)) < 1e-14);
  }
}

TEST_CASE("skip: NaN and infinite tasks are left out by selection, in trunk and heads, on every route and reach") {
  Network net = conv_network(3);
  const Tensor x = net.input(1);
  for (const NamedRule& rule : rules(3)) {
    for (const ApplyTo apply_to : {ApplyTo::all, ApplyTo::shared_only}) {
      for (const Surface surface : {Surface::last_shared, Surface::representation, Surface::all_shared}) {
        for (const double value : {not_a_number, infinite}) {
          for (const bool behind_head : {false, true}) {
            INFO(rule.name << ", apply to " << static_cast<int>(apply_to) << ", surface " << static_cast<int>(surface) << ", "
                           << value << (behind_head ? " downstream of" : " upstream of") << " the head");
            CalibrationOptions options;
            options.surface = surface;
            options.apply_to = apply_to;
            options.non_finite = NonFinite::skip;
            Calibration without = rule.make(options);
            const Tensors first = calibrated_gradients(without, net, x, {1, 0, 1});
            const Tensors second = calibrated_gradients(without, net, x);
            Calibration calibration = rule.make(options);
            clear(net.parameters());
            broken_loss(calibration, net, x, value, behind_head).backward();
            const Tensors got = gradients_of(net.parameters());
            CHECK(calibration.diagnostics().conditions[1] == Condition::non_finite);
            CHECK(all_finite(got));
            CHECK(difference(got, first) < 1e-12);                                         // head 1 of both: zeros
            CHECK(difference(calibrated_gradients(calibration, net, x), second) < 1e-12);  // no state was poisoned
          }
        }
      }
    }
  }
}

TEST_CASE("skip where losses share a head: the skipped one trains nothing") {
  Network net = linear_network(3);
  const Tensor x = net.input(1);
  for (const ApplyTo apply_to : {ApplyTo::all, ApplyTo::shared_only}) {
    CalibrationOptions options;
    options.surface = Surface::all_shared;
    options.apply_to = apply_to;
    options.non_finite = NonFinite::skip;
    Calibration calibration(fuller::IMTL_G(), task_names(3), options);
    Tensors losses = plain_losses(net, x);
    Weights weights = imtl_g(gram_at({losses[0], losses[2]}, net.shared_parameters()));
    if (apply_to == ApplyTo::shared_only) {
      weights.heads = {1, 1};
    }
    const Tensors expected =
        expected_gradients(net, x, {{weights.shared[0], 0, weights.shared[1]}, {weights.heads[0], 0, weights.heads[1]}});
    clear(net.parameters());
    calibration.sum({losses[0], Replaces::apply(losses[1], not_a_number), losses[2]}).backward();
    CHECK(difference(gradients_of(net.parameters()), expected) < 1e-12);
  }
}

TEST_CASE("A loss that is NaN is seen by rules that look at losses alone") {
  Network net = conv_network(2);
  const Tensor x = net.input(1);
  CalibrationOptions options;
  options.non_finite = NonFinite::skip;
  Calibration dwa(fuller::DWA(), task_names(2), options);
  clear(net.parameters());
  const auto v = dwa.fork<2>(net.features(x).front());
  dwa.sum({net.loss(0, {v[0]}), net.loss(1, {v[1]}) * not_a_number}).backward();
  CHECK(dwa.diagnostics().conditions[1] == Condition::non_finite);
  CHECK(difference(gradients_of(net.parameters()), expected_gradients(net, x, {{1, 0}, {1, 0}})) < 1e-12);
  dwa.end_epoch();
  calibrated_gradients(dwa, net, x);
  CHECK(all_finite({torch::tensor(dwa.diagnostics().weights)}));
}

TEST_CASE("throw: names the task, changes nothing") {
  Network net = conv_network(3);
  const Tensor x = net.input(1);
  const Tensor y = net.input(2);
  for (const NamedRule& rule : rules(3)) {
    for (const double value : {not_a_number, infinite, 0.0}) {
      INFO(rule.name << ", " << value);
      CalibrationOptions options;
      options.non_finite = NonFinite::throw_error;
      Calibration calm = rule.make(options);
      calibrated_gradients(calm, net, x);
      const Tensors expected = calibrated_gradients(calm, net, y);
      Calibration calibration = rule.make(options);
      calibrated_gradients(calibration, net, x);
      const Tensors before = gradients_of(net.parameters());
      const std::string said = thrown_by([&] { broken_loss(calibration, net, x, value, false).backward(); });
      CHECK(contains(said, "'t1'"));
      CHECK(equal(gradients_of(net.parameters()), before));
      CHECK(calibration.steps() == 1);
      CHECK(equal(calibrated_gradients(calibration, net, y), expected));
    }
  }
}

TEST_CASE("A custom rule that gives no number: shown in the gradients, or thrown for") {
  Network net = conv_network(2);
  const Tensor x = net.input(1);
  Calibration shown(fuller::EigenRule<Forgets>(), task_names(2));
  CHECK(all_finite(calibrated_gradients(shown, net, x)));
  calibrated_gradients(shown, net, x);
  CHECK(torch::isnan(net.last[0].grad()).all().item<bool>());

  CalibrationOptions options;
  options.non_finite = NonFinite::throw_error;
  Calibration thrown(fuller::EigenRule<Forgets>(), task_names(2), options);
  calibrated_gradients(thrown, net, x);
  const std::string said = thrown_by([&] { calibrated_loss(thrown, net, x).backward(); });
  CHECK(contains(said, "in step 1 the rule 'Forgets' gives task 't1' the weight nan"));
  CHECK(thrown.steps() == 1);
}

TEST_CASE("propagate: the step shows what it is, and the next one is sound") {
  Network net = conv_network(3);
  const Tensor x = net.input(1);
  for (const NamedRule& rule : rules(3)) {
    INFO(rule.name);
    Calibration calm = rule.make({});
    calibrated_gradients(calm, net, x);
    const Tensors expected = calibrated_gradients(calm, net, x);
    Calibration calibration = rule.make({});
    clear(net.parameters());
    broken_loss(calibration, net, x, not_a_number, true).backward();
    for (const Tensor& gradient : gradients_of(net.shared_parameters())) {
      CHECK(torch::isnan(gradient).all().item<bool>());
    }
    // The random orders are counted by steps; all else is as if the NaN had been a first step like any other.
    const bool moves = std::string(rule.name).rfind("GradNorm", 0) == 0;
    const Tensors next = calibrated_gradients(calibration, net, x);
    Calibration fresh = rule.make({});
    CHECK(difference(next, moves ? calibrated_gradients(fresh, net, x) : expected) < 1e-12);
  }
}

TEST_CASE("A zero gradient: no weight on the trunk, and the head goes on with the weight it had") {
  for (const Surface surface : {Surface::last_shared, Surface::all_shared}) {
    for (const bool forked : {true, false}) {
      if (!forked && surface != Surface::all_shared) {
        continue;
      }
      Network net = linear_network(3);
      const Tensor x = net.input(1);
      CalibrationOptions options;
      options.surface = surface;
      Calibration calibration(fuller::IMTL_G(), task_names(3), options);
      calibrated_gradients(calibration, net, x);
      const double last = calibration.diagnostics().weights[1];
      REQUIRE(last > 0);
      const Tensors z = net.features(x);
      const auto losses_of = [&](const std::vector<Tensors>& v) {
        return Tensors{net.loss(0, v[0]), net.loss(1, {Replaces::apply(v[1][0], 0.0)}), net.loss(2, v[2])};
      };
      const Tensors losses = losses_of({z, z, z});
      const Weights pair =
          imtl_g(gram_at({losses[0], losses[2]}, surface == Surface::all_shared ? net.shared_parameters() : net.last));
      const Tensors expected = weighted_gradients(losses, net.shared_parameters(),
                                                  {net.head_parameters(0), net.head_parameters(1), net.head_parameters(2)},
                                                  {{pair.shared[0], 0, pair.shared[1]}, {pair.heads[0], last, pair.heads[1]}});
      clear(net.parameters());
      const Tensors again = net.features(x);
      calibration.sum(losses_of(forked ? calibration.fork_levels(again) : std::vector<Tensors>{again, again, again})).backward();
      CHECK(difference(gradients_of(net.parameters()), expected) < 1e-12);
      CHECK(calibration.diagnostics().conditions[1] == Condition::zero);
    }
  }
}

TEST_CASE("A power-of-two loss scale changes no bit of any weight; gradients carry it") {
  Network net = conv_network(3);
  for (const NamedRule& rule : rules(3)) {
    for (const int exponent : {-20, 16, 40}) {
      INFO(rule.name << ", 2^" << exponent);
      const double scale = std::ldexp(1.0, exponent);
      Calibration plain = rule.make({});
      Calibration scaled = rule.make({});
      for (int step = 0; step < 4; ++step) {
        const Tensor x = net.input(30 + step);
        const Tensors gradients = calibrated_gradients(plain, net, x);
        clear(net.parameters());
        (calibrated_loss(scaled, net, x) * scale).backward();
        Tensors back = gradients_of(net.parameters());
        for (Tensor& gradient : back) {
          gradient = gradient / scale;
        }
        CHECK(largest_difference(scaled.diagnostics().weights, plain.diagnostics().weights) == 0);
        CHECK(equal(back, gradients));
        CHECK(largest_difference(scaled.diagnostics().norms, plain.diagnostics().norms) == 0);
        if (step == 1) {
          plain.end_epoch();
          scaled.end_epoch();
        }
      }
    }
  }
  // Each loss scaled by hand: rules that know only ratios of gradients do not notice.
  const Tensor x = net.input(30);
  Calibration a(fuller::IMTL_G(), task_names(3));
  Calibration b(fuller::IMTL_G(), task_names(3));
  calibrated_gradients(a, net, x);
  calibrated_loss(b, net, x, {}, 65536.0).backward();
  CHECK(largest_difference(a.diagnostics().weights, b.diagnostics().weights) == 0);
  // The gates know only ratios too.
  Fusion fusion = make_fusion(FusionKind::conv2d, 2, true, false);
  std::vector<std::vector<double>> gates;
  for (const double scale : {1.0, 65536.0}) {
    Calibration gated(fuller::Uniform(), {"a", "b"});
    gated.modalities(fuller::ModalityGate(), {"m", "n"});
    (fusion.loss(0, fusion.shared(fusion.fuse(gated.gate(fusion.features(), fusion.weights().front())))) * scale).backward();
    gates.push_back(gated.diagnostics().gates);
  }
  CHECK(gates[0][1] < 1);
  CHECK(largest_difference(gates[0], gates[1]) == 0);
}

TEST_CASE("bfloat16 autocast: weights near those of float32, gradients in the parameters' dtype") {
  for (const auto& make : {conv_network, sequence_network}) {
    Network net = make(3, torch::kFloat);
    const Tensor x = net.input(1);
    Calibration exact(fuller::IMTL_G(), task_names(3));
    const Tensors expected = calibrated_gradients(exact, net, x);
    Calibration calibration(fuller::IMTL_G(), task_names(3));
    clear(net.parameters());
    set_cpu_autocast(true);
    const auto v = calibration.fork<3>(net.features(x).front());
    const torch::Dtype inside = v[0].scalar_type();
    const Tensor loss = calibration.sum({net.loss(0, {v[0]}), net.loss(1, {v[1]}), net.loss(2, {v[2]})});
    set_cpu_autocast(false);
    loss.backward();
    CHECK(inside == torch::kBFloat16);
    CHECK(largest_difference(calibration.diagnostics().weights, exact.diagnostics().weights) < 0.02);
    for (const Tensor& parameter : net.parameters()) {
      REQUIRE(parameter.grad().defined());
      CHECK(parameter.grad().scalar_type() == torch::kFloat);
    }
    CHECK(difference(gradients_of(net.shared_parameters()), Tensors(expected.begin(), expected.begin() + 4)) < 0.1);
  }
}

TEST_CASE("Diagnostics name the tasks that a step cannot feel, and all of them where it stands still") {
  CalibrationOptions options;
  options.measure_every = 1;
  Network net = conv_network(3);
  const Tensor x = net.input(1);
  Calibration corner(fuller::Constant({1, 1e-12, 0.5}), task_names(3), options);
  calibrated_gradients(corner, net, x);
  const fuller::Diagnostics seen = corner.diagnostics();
  CHECK(seen.weight_ratio == 1e-12);
  CHECK(seen.stalled == std::vector<std::string>{task_names(3)[1]});
  CHECK(contains(corner.describe(), "the step cannot feel '" + task_names(3)[1] + "'"));

  // A loss and its negative: a Pareto-stationary point.
  Calibration still(fuller::Uniform(), task_names(2), options);
  const Tensor weight = torch::ones({2, 3}, torch::kDouble).requires_grad_();
  const auto z = still.fork<2>(torch::linear(torch::ones({4, 3}, torch::kDouble), weight));
  still.sum({z[0].sum(), -z[1].sum()}).backward();
  CHECK(still.diagnostics().step_length == 0);
  CHECK(still.diagnostics().weight_ratio == 1);
  CHECK(still.diagnostics().stalled == task_names(2));
}

TEST_CASE("Diagnostics say what was measured and done") {
  Network net = conv_network(4);
  const Tensor x = net.input(1);
  const Eigen::MatrixXd M = gram_at(plain_losses(net, x), net.last);
  Calibration calibration(fuller::IMTL_G(), task_names(4));
  CHECK(calibration.diagnostics().norms.empty());
  CHECK(std::isnan(calibration.diagnostics().gamma_task));
  (calibrated_loss(calibration, net, x) * 8).backward();
  const fuller::Diagnostics seen = calibration.diagnostics();
  const Eigen::VectorXd n = M.diagonal().cwiseSqrt();
  const Weights weights = imtl_g(M);
  int conflicts = 0;
  for (int i = 0; i < 4; ++i) {
    CHECK(std::abs(seen.norms[static_cast<std::size_t>(i)] / n[i] - 1) < 1e-12);
    for (int j = 0; j < 4; ++j) {
      CHECK(std::abs(seen.cosines[static_cast<std::size_t>(4 * i + j)] - M(i, j) / (n[i] * n[j])) < 1e-12);
      conflicts += j < i && M(i, j) < 0 ? 1 : 0;
    }
  }
  CHECK(std::abs(seen.conflict_share - conflicts / 6.0) < 1e-15);
  CHECK(std::abs(seen.gamma_task / (n.maxCoeff() / n.minCoeff()) - 1) < 1e-12);
  const Eigen::VectorXd weighted = Eigen::Map<const Eigen::VectorXd>(weights.shared.data(), 4).cwiseAbs().cwiseProduct(n);
  CHECK(std::abs(seen.gamma_task_weighted / (weighted.maxCoeff() / weighted.minCoeff()) - 1) < 1e-11);
  const Eigen::VectorXd w = Eigen::Map<const Eigen::VectorXd>(weights.shared.data(), 4);
  CHECK(std::abs(seen.weight_ratio / (w.cwiseAbs().minCoeff() / w.cwiseAbs().maxCoeff()) - 1) < 1e-11);
  CHECK(std::abs(seen.step_length / (std::sqrt(w.dot(M * w)) / n.maxCoeff()) - 1) < 1e-11);
  CHECK(seen.stalled.empty());
  CHECK(largest_difference(seen.weights, weights.shared) < 1e-12);
  CHECK(largest_difference(seen.head_weights, weights.heads) < 1e-12);
  CHECK(seen.tasks == task_names(4));
  CHECK(seen.step == 1);
  CHECK(seen.modalities.empty());

  // An absent task has no norm, no cosine, and is in no pair.
  calibrated_gradients(calibration, net, x, {1, 0, 1, 0});
  const fuller::Diagnostics pair = calibration.diagnostics();
  CHECK(std::isnan(pair.norms[1]));
  CHECK(std::isnan(pair.cosines[1]));
  CHECK(pair.conflict_share == (M(0, 2) < 0 ? 1.0 : 0.0));
  CHECK(std::abs(pair.gamma_task / std::max(n[0] / n[2], n[2] / n[0]) - 1) < 1e-12);

  // A rule that asks for no gradients is measured every so often, and trains the same.
  CalibrationOptions options;
  options.measure_every = 2;
  Calibration uniform(fuller::Uniform(), task_names(4), options);
  for (int step = 0; step < 4; ++step) {
    const Tensors gradients = calibrated_gradients(uniform, net, x);
    CHECK(difference(gradients, expected_gradients(net, x, {{1, 1, 1, 1}, {1, 1, 1, 1}})) < 1e-12);
    const fuller::Diagnostics now = uniform.diagnostics();
    CHECK(now.norms.empty() == (step % 2 == 1));
    if (step % 2 == 0) {
      CHECK(std::abs(now.norms[3] / n[3] - 1) < 1e-12);
      CHECK(now.gamma_task_weighted == now.gamma_task);
    } else {
      CHECK(std::isnan(now.gamma_task));
    }
  }
}
