// SPDX-License-Identifier: Apache-2.0
// Steps in which nothing that the losses share is trained: networks of their own, the first epochs with a frozen backbone.
#include <cmath>
#include <limits>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <c10/util/Exception.h>
#include <torch/torch.h>
#include <torch/version.h>

#include <fuller/engine/host_rules.hpp>
#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/host_stream.hpp"
#include "support/meeting.hpp"
#include "support/multi_backward.hpp"
#include "support/networks.hpp"

using namespace fuller::testing;
using namespace torch::nn;
using fuller::ApplyTo;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::Condition;
using fuller::NonFinite;
using fuller::Surface;

namespace {

/// Collects warnings in place of printing them.
class Warnings : public c10::WarningHandler {
 public:
  Warnings() : guard_(this) {}
#if TORCH_VERSION_MAJOR >= 2
  void process(const c10::Warning& warning) override { said.push_back(warning.msg()); }
#else
  void process(const c10::SourceLocation&, const std::string& text, bool) override { said.push_back(text); }
#endif
  std::vector<std::string> said;

 private:
#if TORCH_VERSION_MAJOR >= 2
  c10::WarningUtils::WarningHandlerGuard guard_;
#else
  c10::Warning::WarningHandlerGuard guard_;
#endif
};

/// A policy of six inputs and a value of them, without a parameter in common.
struct ActorCritic {
  ActorCritic() {
    torch::manual_seed(41);
    actor = Linear(6, 3);
    critic = Sequential(Linear(6, 4), Tanh(), Linear(4, 1));
    actor->to(torch::kDouble);
    critic->to(torch::kDouble);
    x = torch::randn({5, 6}, torch::kDouble);
  }
  Tensors losses() {
    return {torch::log_softmax(actor(x), 1).select(1, 0).neg().mean(), 7 * (critic->forward(x) - 2).pow(2).mean()};
  }
  Tensors parameters() const {
    Tensors all = actor->parameters();
    append(all, critic->parameters());
    return all;
  }
  /// What the losses' own gradients are, times these weights.
  Tensors expected(const std::vector<double>& weights) {
    return weighted_gradients(losses(), {}, {actor->parameters(), critic->parameters()}, {weights, weights});
  }
  Linear actor{nullptr};
  Sequential critic{nullptr};
  Tensor x;
};

CalibrationOptions all_shared() {
  CalibrationOptions options;
  options.surface = Surface::all_shared;
  return options;
}

void freeze(const Tensors& parameters, bool frozen = true) {
  for (const Tensor& parameter : parameters) {
    parameter.set_requires_grad(!frozen);
  }
}

std::string saved(const Calibration& calibration) {
  std::ostringstream stream;
  torch::save(calibration, stream);
  return stream.str();
}

}  // namespace

TEST_CASE("Networks that share nothing are not weighted against each other") {
  ActorCritic net;
  const Tensors plain = net.expected({1, 1});
  for (const ApplyTo apply_to : {ApplyTo::all, ApplyTo::shared_only}) {
    CalibrationOptions options = all_shared();
    options.apply_to = apply_to;
    Calibration calibration(fuller::IMTL_G(), {"actor", "critic"}, options);
    for (int step = 0; step < 2; ++step) {
      clear(net.parameters());
      calibration.sum(net.losses()).backward();
      CHECK(difference(gradients_of(net.parameters()), plain) < 1e-12);
      const fuller::Diagnostics seen = calibration.diagnostics();
      CHECK(seen.weights == std::vector<double>{1, 1});
      CHECK(seen.head_weights == std::vector<double>{1, 1});
      CHECK(seen.norms.empty());
      CHECK(std::isnan(seen.gamma_task));
    }
    CHECK(calibration.steps() == 0);
  }
  // Static weights are the user's own.
  CalibrationOptions options = all_shared();
  options.before = {1, 5};
  options.after = {2, 0.5};
  Calibration weighted(fuller::IMTL_G(), {"actor", "critic"}, options);
  clear(net.parameters());
  (weighted.sum(net.losses()) * 4).backward();
  CHECK(difference(gradients_of(net.parameters()), net.expected({8, 10})) < 1e-12);
  CHECK(weighted.diagnostics().head_weights == std::vector<double>{2, 2.5});
  options.apply_to = ApplyTo::shared_only;
  Calibration shared_only(fuller::PCGrad(), {"actor", "critic"}, options);
  clear(net.parameters());
  shared_only.sum(net.losses()).backward();
  CHECK(difference(gradients_of(net.parameters()), plain) < 1e-12);
  // A third task that shares the critic: those two are calibrated, and the actor counts with them as ever.
  Calibration three(fuller::IMTL_G(), {"actor", "critic", "other"}, all_shared());
  const auto losses = [&] {
    Tensors all = net.losses();
    all.push_back(net.critic->forward(2 * net.x).sin().mean());
    return all;
  };
  clear(net.parameters());
  three.sum(losses()).backward();
  CHECK(three.steps() == 1);
  CHECK(three.diagnostics().conditions[0] == Condition::zero);
  const Tensors all = losses();
  const Weights two = imtl_g(gram_at({all[1], all[2]}, net.critic->parameters()));
  CHECK(std::abs(three.diagnostics().weights[1] - two.shared[0]) < 1e-12);
  CHECK(std::abs(three.diagnostics().weights[2] - two.shared[1]) < 1e-12);
}

TEST_CASE("A frozen backbone: plain sums, said once, until it is trained") {
  for (const Surface surface : {Surface::last_shared, Surface::representation, Surface::all_shared}) {
    for (const ApplyTo apply_to : {ApplyTo::all, ApplyTo::shared_only}) {
      INFO("surface " << static_cast<int>(surface) << ", apply to " << static_cast<int>(apply_to));
      Network net = conv_network(3);
      const Tensor x = net.input(42);
      CalibrationOptions options;
      options.surface = surface;
      options.apply_to = apply_to;
      Calibration calibration(fuller::GradNorm(), task_names(3), options);
      const std::string before = saved(calibration);
      Warnings warnings;
      freeze(net.shared_parameters());
      const Tensors losses = plain_losses(net, x);
      const std::vector<Tensors> heads{net.head_parameters(0), net.head_parameters(1), net.head_parameters(2)};
      const Tensors plain = weighted_gradients(losses, {}, heads, {{1, 1, 1}, {1, 1, 1}});
      for (int step = 0; step < 3; ++step) {
        clear(net.parameters());
        calibrated_loss(calibration, net, x).backward();
        CHECK(difference(gradients_of(net.all_heads()), plain) < 1e-12);
        CHECK_FALSE(net.shared_parameters()[0].grad().defined());
      }
      CHECK(calibration.steps() == 0);
      CHECK(saved(calibration) == before);
      REQUIRE(warnings.said.size() == 1);
      CHECK(contains(warnings.said[0], "nothing that the losses share is trained"));
      // One task alone, and none: as plain.
      clear(net.parameters());
      if (surface != Surface::all_shared) {
        calibrated_loss(calibration, net, x, {0, 1, 0}).backward();
        CHECK(difference(gradients_of(net.head_parameters(1)), gradient_of(plain_losses(net, x)[1], heads[1])) < 1e-12);
        CHECK(calibration.diagnostics().conditions[0] == Condition::absent);
        CHECK(calibration.diagnostics().weights == std::vector<double>{0, 1, 0});
      }
      // Unfrozen, it goes on as one that has never been frozen.
      freeze(net.shared_parameters(), false);
      Calibration fresh(fuller::GradNorm(), task_names(3), options);
      const Tensors expected = calibrated_gradients(fresh, net, x);
      CHECK(equal(calibrated_gradients(calibration, net, x), expected));
      CHECK(calibration.steps() == 1);
      CHECK(calibration.diagnostics().weights == fresh.diagnostics().weights);
      CHECK(warnings.said.size() == 1);
      // And frozen again.
      freeze(net.shared_parameters());
      clear(net.parameters());
      calibrated_loss(calibration, net, x).backward();
      CHECK(difference(gradients_of(net.all_heads()), plain) < 1e-12);
      CHECK(calibration.diagnostics().weights == std::vector<double>{1, 1, 1});
    }
  }
}

TEST_CASE("Rules that compare no gradients have their say over a frozen backbone too") {
  Network net = linear_network(2);
  const Tensor x = net.input(43);
  freeze(net.shared_parameters());
  const std::vector<Tensors> heads{net.head_parameters(0), net.head_parameters(1)};
  Warnings warnings;
  Calibration by_hand(fuller::Constant({2, 3}), {"a", "b"});
  clear(net.parameters());
  calibrated_loss(by_hand, net, x).backward();
  CHECK(difference(gradients_of(net.all_heads()), weighted_gradients(plain_losses(net, x), {}, heads, {{2, 3}, {2, 3}})) < 1e-12);
  CHECK(by_hand.steps() == 1);
  Calibration dwa(fuller::DWA(), {"a", "b"});
  Calibration reference(fuller::DWA(), {"a", "b"});
  for (int epoch = 0; epoch < 4; ++epoch) {
    clear(net.parameters());
    calibrated_loss(dwa, net, x * (epoch + 1)).backward();
    dwa.end_epoch();
  }
  freeze(net.shared_parameters(), false);
  for (int epoch = 0; epoch < 4; ++epoch) {
    clear(net.parameters());
    calibrated_loss(reference, net, x * (epoch + 1)).backward();
    reference.end_epoch();
  }
  CHECK(dwa.diagnostics().weights[0] != 1);
  CHECK(largest_difference(dwa.diagnostics().weights, reference.diagnostics().weights) < 1e-12);
  CHECK(warnings.said.empty());
}

TEST_CASE("What only looks as if nothing were shared is refused") {
  Network net = conv_network(2);
  const Tensor x = net.input(44);
  Calibration calibration(fuller::IMTL_G(), {"a", "b"});
  const auto sum_of = [&](const Tensor& a, const Tensor& b) {
    return thrown_by([&] { calibration.sum({net.loss(0, {a}), net.loss(1, {b})}); });
  };
  // A fork that was left out, or whose outputs were not used, over a trunk that is trained or not.
  const Tensor z = net.features(x).front();
  CHECK(contains(sum_of(z, z), "no loss depends on an output of fork()"));
  ActorCritic apart;
  Calibration no_fork(fuller::IMTL_G(), {"actor", "critic"});
  CHECK(contains(thrown_by([&] { no_fork.sum(apart.losses()); }), "Surface::all_shared"));
  calibration.fork<2>(z);
  CHECK(contains(sum_of(z.detach(), z.detach()), "no loss depends on an output of fork()"));
  // A decoder after the frozen trunk that both losses read.
  freeze(net.shared_parameters());
  Conv2d decoder(6, 6, 1);
  decoder->to(torch::kDouble);
  const auto v = calibration.fork<2>(net.features(x).front());
  calibration.name_parameters(decoder->named_parameters(), "decoder.");
  const std::string said = sum_of(decoder(v[0]), decoder(v[1]));
  CHECK(contains(said, "the parameter 'decoder.weight' of shape [6, 6, 1, 1] is shared by 'a' and 'b'"));
  // The ways out that it names.
  const Tensor shared = decoder(net.features(x).front());
  const Tensors expected = weighted_gradients({net.loss(0, {shared}), net.loss(1, {shared})}, decoder->parameters(),
                                              {net.head_parameters(0), net.head_parameters(1)},
                                              imtl_g(gram_at({net.loss(0, {shared}), net.loss(1, {shared})}, {decoder->weight})));
  Tensors parameters = decoder->parameters();
  append(parameters, net.all_heads());
  clear(parameters);
  const auto w = calibration.fork<2>(decoder(net.features(x).front()));
  calibration.sum({net.loss(0, {w[0]}), net.loss(1, {w[1]})}).backward();
  CHECK(difference(gradients_of(parameters), expected) < 1e-12);
}

TEST_CASE("Policies for what is not finite hold in plain steps too") {
  ActorCritic net;
  const auto with = [&](double factor) {
    Tensors losses = net.losses();
    losses[1] = losses[1] * factor;
    return losses;
  };
  CalibrationOptions options = all_shared();
  options.non_finite = NonFinite::skip;
  Calibration skip(fuller::IMTL_G(), {"actor", "critic"}, options);
  clear(net.parameters());
  skip.sum(with(NAN)).backward();
  Tensors expected = net.expected({1, 0});
  CHECK(difference(gradients_of(net.parameters()), expected) < 1e-12);
  CHECK(skip.diagnostics().conditions[1] == Condition::non_finite);
  CHECK(skip.diagnostics().weights == std::vector<double>{1, 0});
  CHECK(contains(skip.diagnostics().policy, "NonFinite::skip: 'critic'"));
  // A finite loss with a gradient that is not: sqrt at 0.
  clear(net.parameters());
  Tensors losses = net.losses();
  losses[1] = (net.critic->forward(net.x) * 0).abs().sum().sqrt();
  skip.sum(losses).backward();
  CHECK(difference(gradients_of(net.parameters()), expected) < 1e-12);
  skip.sum(with(1)).backward();
  CHECK(skip.diagnostics().weights == std::vector<double>{1, 1});

  options.non_finite = NonFinite::throw_error;
  Calibration strict(fuller::IMTL_G(), {"actor", "critic"}, options);
  clear(net.parameters());
  const Tensor total = strict.sum(with(INFINITY));
  CHECK_THROWS_AS(total.backward(), fuller::NonFiniteError);
  for (const Tensor& parameter : net.parameters()) {
    CHECK_FALSE(parameter.grad().defined());
  }
  Calibration propagate(fuller::IMTL_G(), {"actor", "critic"}, all_shared());
  clear(net.parameters());
  propagate.sum(with(NAN)).backward();
  CHECK(difference(gradients_of(net.actor->parameters()), gradient_of(net.losses()[0], net.actor->parameters())) < 1e-12);
  CHECK(std::isnan(net.critic->parameters()[0].grad().sum().item<double>()));
}

TEST_CASE("Gates go on in plain steps, and hand frozen branches back") {
  torch::manual_seed(45);
  Linear left(4, 3);
  Linear right(4, 3);
  Linear fuse(6, 2);
  Linear other(4, 1);
  for (const std::shared_ptr<Module>& module :
       std::vector<std::shared_ptr<Module>>{left.ptr(), right.ptr(), fuse.ptr(), other.ptr()}) {
    module->to(torch::kDouble);
  }
  const Tensor x = torch::randn({5, 4}, torch::kDouble);
  Calibration calibration(fuller::IMTL_G(), {"fused", "other"}, all_shared());
  calibration.modalities(fuller::ModalityGate(), {"left", "right"});
  Calibration alone(fuller::Uniform(), {"fused"}, all_shared());
  alone.modalities(fuller::ModalityGate(), {"left", "right"});
  const auto fused = [&](Calibration& by) {
    const auto [l, r] = by.gate<2>({left(x), right(3 * x)}, fuse->weight);
    return fuse(torch::cat({l, r}, 1)).pow(2).mean();
  };
  const Tensors branches{left->weight, right->weight, fuse->weight};
  alone.sum({fused(alone)}).backward();
  const Tensors expected = gradients_of(branches);
  const std::vector<double> gates = alone.diagnostics().gates;
  CHECK(gates[0] != gates[1]);
  clear(branches);
  calibration.sum({fused(calibration), other(x).pow(2).mean()}).backward();
  CHECK(difference(gradients_of(branches), expected) < 1e-12);
  CHECK(largest_difference(calibration.diagnostics().gates, gates) < 1e-12);
  freeze(branches);
  freeze({left->bias, right->bias});
  CHECK(thrown_by([&] { calibration.sum({fused(calibration), other(x).pow(2).mean()}).backward(); }).empty());
  CHECK(calibration.diagnostics().gates == gates);
}

TEST_CASE("Steps on a device: a plain step leaves the device's state alone") {
  HostStream stream;
  for (const NonFinite policy : {NonFinite::propagate, NonFinite::skip}) {
    Network net = linear_network(2);
    const Tensor x = net.input(46);
    CalibrationOptions options;
    options.non_finite = policy;
    Calibration calibration(fuller::GradNorm(), {"a", "b"}, options);
    calibration.use(fuller::host_rules_on(at::kCPU, stream.launcher()));
    Calibration host(fuller::GradNorm(), {"a", "b"}, options);
    calibrated_gradients(calibration, net, x);
    calibrated_gradients(host, net, x);
    freeze(net.shared_parameters());
    const Tensors plain =
        weighted_gradients(plain_losses(net, x), {}, {net.head_parameters(0), net.head_parameters(1)}, {{1, 1}, {1, 1}});
    clear(net.parameters());
    calibrated_loss(calibration, net, x).backward();
    CHECK(difference(gradients_of(net.all_heads()), plain) < 1e-12);
    fuller::Snapshot snapshot = calibration.snapshot();
    for (const fuller::Diagnostics& seen : {calibration.diagnostics(), snapshot.diagnostics()}) {
      CHECK(seen.weights == std::vector<double>{1, 1});
      CHECK(seen.head_weights == std::vector<double>{1, 1});
      CHECK((seen.route == fuller::Route::plain));
      CHECK(seen.step == 1);
    }
    freeze(net.shared_parameters(), false);
    const Tensors expected = calibrated_gradients(host, net, x * 2);
    CHECK(difference(calibrated_gradients(calibration, net, x * 2), expected) < 1e-12);
    CHECK(largest_difference(calibration.diagnostics().weights, host.diagnostics().weights) < 1e-12);
    CHECK(calibration.steps() == 2);
  }
}

TEST_CASE("Ranks agree that nothing shared is trained, and on what is once it is", "[ranks]") {
  constexpr int ranks = 2;
  Meeting meeting(ranks);
  std::vector<Network> nets;
  for (int rank = 0; rank < ranks; ++rank) {
    nets.push_back(linear_network(2));  // the generator belongs to the process: one after the other
  }
  const Tensor x = nets[0].input(47);
  std::vector<std::vector<double>> weights(ranks);
  std::vector<std::string> refused(ranks);
  std::vector<std::vector<double>> skipped(ranks);
  const auto run = [&](int rank) {
    Network& net = nets[static_cast<std::size_t>(rank)];
    CalibrationOptions options = all_shared();
    options.ranks.count = ranks;
    options.ranks.average = [&](Tensors& tensors) { meeting.average(tensors); };
    options.non_finite = NonFinite::skip;
    Calibration calibration(fuller::IMTL_G(), {"a", "b"}, options);
    const auto losses = [&](bool with_b, double factor = 1) {
      const Tensor z = net.features(x).front();
      return Tensors{net.loss(0, {z}), with_b ? net.loss(1, {z}) * factor : Tensor()};
    };
    freeze(net.shared_parameters());
    calibration.sum(losses(true, rank == 0 ? NAN : 1)).backward();
    skipped[static_cast<std::size_t>(rank)] = calibration.diagnostics().weights;
    calibration.sum(losses(rank == 0)).backward();  // one task alone on the second rank: plain on both
    freeze(net.shared_parameters(), false);
    refused[static_cast<std::size_t>(rank)] = thrown_by([&] { calibration.sum(losses(false)); });
    calibration.sum(losses(true)).backward();
    calibration.sum(losses(rank == 0)).backward();
    weights[static_cast<std::size_t>(rank)] = calibration.diagnostics().weights;
  };
  std::thread other([&] { run(1); });
  run(0);
  other.join();
  CHECK(skipped[0] == std::vector<double>{1, 0});
  CHECK(skipped[1] == skipped[0]);
  CHECK(weights[0] == weights[1]);
  CHECK(std::abs(weights[0][0] - weights[0][1]) > 0.01);
  CHECK(contains(refused[0], "after parameters were unfrozen"));
  CHECK(contains(refused[1], "after parameters were unfrozen"));
}
