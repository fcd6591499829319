// SPDX-License-Identifier: Apache-2.0
// Uses that would give a silently wrong gradient: each refused in words, and what is beside them exact.
#include <array>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <torch/torch.h>

#include <fuller/fuller.hpp>
#include <fuller/graph/libtorch_nodes.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/multi_backward.hpp"
#include "support/networks.hpp"

using namespace fuller::testing;
using fuller::ApplyTo;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::Surface;

namespace {

/// A step whose losses `change` may tamper with; what it threw.
struct Step {
  Network net = conv_network(3);
  Tensor x = net.input(4);
  Calibration calibration{fuller::IMTL_G(), task_names(3)};
  Tensor z = net.features(x).front();
  std::array<Tensor, 3> v = calibration.fork<3>(z);
  Tensors losses{net.loss(0, {v[0]}), net.loss(1, {v[1]}), net.loss(2, {v[2]})};

  Tensors expected() { return expected_gradients(net, x, imtl_g(gram_at(plain_losses(net, x), net.last))); }
  std::string refused(const std::function<Tensor()>& total) {
    return thrown_by([&] { total().backward(); });
  }
};

}  // namespace

TEST_CASE("Losses that do not come through the fork as they should") {
  Step s;
  SECTION("heads swapped") {
    const std::string said = s.refused([&] {
      return s.calibration.sum({s.net.loss(0, {s.v[1]}), s.net.loss(1, {s.v[0]}), s.losses[2]});
    });
    CHECK(contains(said, "'t0'"));
    CHECK(contains(said, "fork's output for 't1'"));
  }
  SECTION("a head fed past the fork") {
    const std::string said = s.refused([&] { return s.calibration.sum({s.net.loss(0, {s.z}), s.losses[1], s.losses[2]}); });
    CHECK(contains(said, "'t0'"));
    CHECK(contains(said, "past the fork"));
  }
  SECTION("a skip connection from the trunk") {
    const Tensor middle = s.net.trunk[0]->as<torch::nn::Conv2d>()->forward(s.x);
    const Tensor z = s.net.trunk[2]->as<torch::nn::Conv2d>()->forward(middle);
    const auto v = s.calibration.fork<3>(z);
    const std::string said = s.refused([&] {
      return s.calibration.sum({s.net.loss(0, {v[0]}) + middle.pow(2).mean(), s.net.loss(1, {v[1]}), s.net.loss(2, {v[2]})});
    });
    CHECK(contains(said, "past the fork"));
    CHECK(contains(said, "all_shared"));
  }
  SECTION("a parameter of the trunk in a head") {
    const std::string said = s.refused([&] {
      return s.calibration.sum({s.losses[0] + s.net.last[0].pow(2).sum(), s.losses[1], s.losses[2]});
    });
    CHECK(contains(said, "past the fork"));
  }
  SECTION("a parameter that two heads share") {
    const std::string said = s.refused([&] {
      return s.calibration.sum({s.losses[0], s.net.heads[0][0]->forward(s.v[1]).mean(), s.losses[2]});
    });
    CHECK(contains(said, "shared by 't0' and 't1'"));
    CHECK(contains(said, "Surface::all_shared"));
  }
  SECTION("a loss without the fork") {
    CHECK(contains(s.refused([&] {
      return s.calibration.sum({s.net.loss(0, {torch::randn_like(s.z)}), s.losses[1], s.losses[2]});
    }),
                   "does not depend on the fork"));
  }
  SECTION("no fork at all") {
    CHECK(contains(thrown_by([&] { s.calibration.sum(plain_losses(s.net, s.x)); }), "no loss depends on an output of fork()"));
  }
  SECTION("two forwards in one sum") {
    const auto again = s.calibration.fork<3>(s.net.features(s.x).front());
    const Tensor both = s.losses[0] + s.net.loss(0, {again[0]});
    CHECK(contains(s.refused([&] {
      return s.calibration.sum({both, s.losses[1], s.losses[2]});
    }),
                   "the loss of 't0' depends on two calls of fork()"));
  }
  SECTION("two forwards in one backward") {
    const auto again = s.calibration.fork<3>(s.net.features(s.x).front());
    const Tensor first = s.calibration.sum(s.losses);
    const Tensor second = s.calibration.sum({s.net.loss(0, {again[0]}), s.net.loss(1, {again[1]}), s.net.loss(2, {again[2]})});
    CHECK(contains(s.refused([&] { return first + second; }), "two sums of losses are in one backward"));
  }
  SECTION("one forward summed twice") {
    const Tensor first = s.calibration.sum(s.losses);
    CHECK(contains(s.refused([&] { return first + s.calibration.sum(s.losses); }), "of one fork() on the last alone"));
  }
  SECTION("the sum left out") {
    CHECK(contains(s.refused([&] { return s.losses[0] + s.losses[1] + s.losses[2]; }), "calibration.sum("));
  }
  SECTION("one loss alone, after the sum was made") {
    s.calibration.sum(s.losses);
    CHECK(contains(s.refused([&] { return s.losses[0]; }), "did not start at"));
  }
  SECTION("wrong counts and shapes") {
    CHECK(contains(thrown_by([&] { s.calibration.sum({s.losses[0], s.losses[1]}); }), "2 losses for 3"));
    CHECK(contains(thrown_by([&] { s.calibration.sum({s.losses[0], s.losses[1], s.v[2]}); }), "scalar"));
    CHECK(contains(thrown_by([&] { Calibration(fuller::IMTL_G(), {}); }), "at least one"));
    CHECK(contains(thrown_by([&] { Calibration(fuller::IMTL_G(), {"a", "a"}); }), "twice"));
    CHECK(contains(thrown_by([&] { s.calibration.head("nobody", {}); }), "'nobody'; there are 't0', 't1', 't2'"));
    CalibrationOptions negative;
    negative.measure_every = -1;
    CHECK(contains(thrown_by([&] { Calibration(fuller::IMTL_G(), {"a"}, negative); }), "measure_every"));
  }
  // Nothing of this has left a mark.
  clear(s.net.parameters());
  const Tensors expected = s.expected();
  CHECK(difference(calibrated_gradients(s.calibration, s.net, s.x), expected) < 1e-12);
}

TEST_CASE("A term beside the sum that would be weighted with it is refused, wherever it enters") {
  Step s;
  const Tensor head = s.net.head_parameters(0)[0];
  SECTION("a head parameter") {
    CHECK(contains(s.refused([&] { return s.calibration.sum(s.losses) + 0.01 * head.pow(2).sum(); }), "of the head of 't0'"));
  }
  SECTION("an output of the fork") {
    CHECK(contains(s.refused([&] { return s.calibration.sum(s.losses) + s.v[1].mean(); }), "output of fork()"));
  }
  SECTION("a feature inside a head") {
    const Tensor feature = s.net.heads[0][0][0]->as<torch::nn::Conv2d>()->forward(s.v[0]);
    const Tensor loss = feature.tanh().mean();
    const Tensor total = s.calibration.sum({loss, s.losses[1], s.losses[2]}) + 0.1 * feature.pow(2).mean();
    CHECK(contains(thrown_by([&] { total.backward(); }), "outside the calibration's sum"));
  }
  SECTION("a loss a second time") {
    CHECK(contains(s.refused([&] { return s.calibration.sum(s.losses) + s.losses[0]; }), "outside the calibration's sum"));
  }
  SECTION("a number of a head, at the root itself") {
    const Tensor log_variance = torch::zeros({}, torch::dtype(torch::kDouble).requires_grad(true));
    const Tensor loss = s.losses[0] * torch::exp(-log_variance);
    const Tensor total = s.calibration.sum({loss, s.losses[1], s.losses[2]}) + log_variance;
    CHECK(contains(thrown_by([&] { total.backward(); }), "of the head of 't0'"));
    CHECK_FALSE(log_variance.grad().defined());
  }
  SECTION("a scalar inside a head, at the root itself") {
    const Tensor auxiliary = s.net.heads[0][0]->forward(s.v[0]).mean();
    const Tensor total = s.calibration.sum({3 * auxiliary, s.losses[1], s.losses[2]}) + auxiliary;
    CHECK(contains(thrown_by([&] { total.backward(); }), "outside the calibration's sum"));
  }
  SECTION("a feature inside a head, as a second root") {
    const Tensor feature = s.net.heads[0][0][0]->as<torch::nn::Conv2d>()->forward(s.v[0]);
    const Tensor total = s.calibration.sum({feature.tanh().mean(), s.losses[1], s.losses[2]});
    CHECK(contains(thrown_by([&] {
                     torch::autograd::backward({total, feature}, {Tensor(), torch::ones_like(feature)});
                   }),
                   "outside the calibration's sum"));
  }
  SECTION("an output of the fork, as a second root") {
    const Tensor total = s.calibration.sum(s.losses);
    CHECK(contains(thrown_by([&] {
                     torch::autograd::backward({total, s.v[1]}, {Tensor(), torch::ones_like(s.v[1])});
                   }),
                   "output of fork()"));
  }
  SECTION("something made of a head parameter alone") {
    const Tensor doubled = head * 2;
    const Tensor total = s.calibration.sum({s.losses[0] + doubled.sum(), s.losses[1], s.losses[2]}) + doubled.pow(2).sum();
    CHECK(contains(thrown_by([&] { total.backward(); }), "of the head of 't0'"));
  }
  for (const Tensor& parameter : s.net.parameters()) {
    CHECK_FALSE(parameter.grad().defined());
  }
}

TEST_CASE("A term of its own at the root is left alone") {
  Step s;
  const Tensor own = torch::ones({}, torch::dtype(torch::kDouble).requires_grad(true));
  const Tensors expected = s.expected();
  clear(s.net.parameters());
  (s.calibration.sum(s.losses) + own).backward();
  CHECK(own.grad().item<double>() == 1);
  CHECK(difference(gradients_of(s.net.parameters()), expected) < 1e-12);
}

TEST_CASE("A term beside the sum on trunk parameters or trunk features is exact") {
  for (const bool all_shared : {false, true}) {
    Network net = conv_network(3);
    const Tensor x = net.input(4);
    CalibrationOptions options;
    if (all_shared) {
      options.surface = Surface::all_shared;
    }
    const Tensors z = net.features(x);
    Tensors losses;
    for (int i = 0; i < 3; ++i) {
      losses.push_back(net.loss(i, z));
    }
    Tensors expected = expected_gradients(net, x, imtl_g(gram_at(losses, all_shared ? net.shared_parameters() : net.last)));
    const auto term = [&](const Tensor& features) { return 0.3 * net.last[0].pow(2).sum() + 0.2 * features.sin().sum(); };
    const Tensors extra = gradient_of(term(z[0]), net.shared_parameters());
    for (std::size_t k = 0; k < extra.size(); ++k) {
      expected[k] = expected[k] + extra[k];
    }
    Calibration calibration(fuller::IMTL_G(), task_names(3), options);
    clear(net.parameters());
    const Tensor shared = net.features(x).front();
    const auto v = calibration.fork<3>(shared);
    (calibration.sum({net.loss(0, {v[0]}), net.loss(1, {v[1]}), net.loss(2, {v[2]})}) + term(shared)).backward();
    CHECK(difference(gradients_of(net.parameters()), expected) < 1e-12);
  }
  // Where heads are not weighted, a term on a head parameter is exact too.
  Network net = linear_network(2);
  const Tensor x = net.input(5);
  CalibrationOptions options;
  options.apply_to = ApplyTo::shared_only;
  Calibration calibration(fuller::Constant({2, 3}), {"a", "b"}, options);
  Tensors expected = expected_gradients(net, x, {{2, 3}, {1, 1}});
  expected[4] = expected[4] + 0.02 * net.parameters()[4].detach();
  clear(net.parameters());
  (calibrated_loss(calibration, net, x) + 0.01 * net.parameters()[4].pow(2).sum()).backward();
  CHECK(difference(gradients_of(net.parameters()), expected) < 1e-12);
}

TEST_CASE("A head in a reentrant checkpoint: refused until its parameters are named, then exact") {
  Step s;
  const Tensors expected = s.expected();
  const auto step = [&] {
    clear(s.net.parameters());
    const auto v = s.calibration.fork<3>(s.net.features(s.x).front());
    const Tensor first = (Checkpoint::apply(v[0], s.net.heads[0][0]) - 0.0).pow(2).mean();
    s.calibration.sum({first, s.net.loss(1, {v[1]}), s.net.loss(2, {v[2]})}).backward();
  };
  const std::string said = thrown_by(step);
  CHECK(contains(said, "'t0'"));
  CHECK(contains(said, "calibration.head(\"t0\""));
  s.calibration.head("t0", s.net.head_parameters(0));
  step();
  CHECK(difference(gradients_of(s.net.parameters()), expected) < 1e-12);
  step();  // named once, not in each step
  CHECK(difference(gradients_of(s.net.parameters()), expected) < 1e-12);
  // Naming what the graph shows does no harm; naming another's does.
  s.calibration.head("t1", s.net.head_parameters(1));
  step();
  CHECK(difference(gradients_of(s.net.parameters()), expected) < 1e-12);
  s.calibration.head("t1", s.net.head_parameters(0));
  CHECK(contains(thrown_by(step), "'t0'"));
  // Where heads keep their own gradients there is nothing to find.
  CalibrationOptions options;
  options.apply_to = ApplyTo::shared_only;
  Calibration shared_only(fuller::IMTL_G(), task_names(3), options);
  Weights weights = imtl_g(gram_at(plain_losses(s.net, s.x), s.net.last));
  weights.heads = {1, 1, 1};
  const Tensors unweighted = expected_gradients(s.net, s.x, weights);
  clear(s.net.parameters());
  const auto v = shared_only.fork<3>(s.net.features(s.x).front());
  const Tensor first = Checkpoint::apply(v[0], s.net.heads[0][0]).pow(2).mean();
  shared_only.sum({first, s.net.loss(1, {v[1]}), s.net.loss(2, {v[2]})}).backward();
  CHECK(difference(gradients_of(s.net.parameters()), unweighted) < 1e-12);
}

TEST_CASE("Nodes that are neither LibTorch's nor fuller's may run a checkpoint") {
  struct OfTheUser : torch::autograd::Node {
    torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override { return std::move(gradients); }
  };
  Step s;
  CHECK(fuller::detail::is_custom(OfTheUser()));
  CHECK(fuller::detail::is_custom(*Fails::apply(s.z).grad_fn()));
  CHECK_FALSE(fuller::detail::is_custom(*s.z.grad_fn()));
  CHECK_FALSE(fuller::detail::is_custom(*s.v[0].grad_fn()));
}

TEST_CASE("A trunk in a checkpoint: exact where the surface lies outside of it, refused where it does not") {
  Network net = conv_network(3);
  const Tensor x = net.input(4).set_requires_grad(true);
  const Tensors losses = plain_losses(net, x);
  torch::nn::Sequential first;
  first->push_back(net.trunk->ptr<torch::nn::Conv2dImpl>(0));
  first->push_back(torch::nn::Tanh());
  auto* const conv = net.trunk[2]->as<torch::nn::Conv2d>();
  const auto step = [&](Calibration& calibration, const Tensor& z, const Tensors& named = {}) {
    clear(net.parameters());
    const auto v = calibration.fork<3>(z, named);
    calibration.sum({net.loss(0, {v[0]}), net.loss(1, {v[1]}), net.loss(2, {v[2]})}).backward();
  };
  const auto partly = [&] { return conv->forward(Checkpoint::apply(x, first)); };
  const auto wholly = [&] { return Checkpoint::apply(x, net.trunk); };
  Calibration last(fuller::IMTL_G(), task_names(3));
  const Tensors expected = expected_gradients(net, x, imtl_g(gram_at(losses, net.last)));
  step(last, partly());
  CHECK(difference(gradients_of(net.parameters()), expected) < 1e-12);
  CHECK_FALSE(thrown_by([&] { step(last, wholly()); }).empty());
  CHECK(contains(thrown_by([&] { step(last, wholly(), net.last); }), "checkpoint"));
  // Named parameters on the far side of a checkpoint: each of our passes would run it, and add to .grad.
  const Tensor beyond = x.detach().mean().reshape({1, 1, 1, 1}).expand({1, 3, 1, 1}).clone().set_requires_grad(true);
  const auto with_beyond = [&] { return conv->forward(Checkpoint::apply(x.detach() * beyond, first)); };
  CHECK(contains(thrown_by([&] { step(last, with_beyond(), {beyond}); }), "checkpoint"));

  CalibrationOptions options;
  options.surface = Surface::all_shared;
  Calibration all(fuller::IMTL_G(), task_names(3), options);
  CHECK(contains(thrown_by([&] { step(all, partly()); }), "checkpoint"));

  options.surface = Surface::representation;
  Calibration representation(fuller::IMTL_G(), task_names(3), options);
  Tensors of_z;
  const Tensors z = net.features(x);
  for (int i = 0; i < 3; ++i) {
    of_z.push_back(net.loss(i, z));
  }
  const Tensors by_representation = expected_gradients(net, x, imtl_g(gram_at(of_z, z)));
  step(representation, wholly());
  CHECK(difference(gradients_of(net.parameters()), by_representation) < 1e-12);
}

TEST_CASE("Without gradients, with a frozen trunk, with tasks that are constants or none at all") {
  Network net = conv_network(3);
  const Tensor x = net.input(4);
  Calibration calibration(fuller::IMTL_G(), task_names(3));
  const double total =
      plain_losses(net, x)[0].item<double>() + plain_losses(net, x)[1].item<double>() + plain_losses(net, x)[2].item<double>();
  {
    const torch::NoGradGuard guard;
    const Tensor loss = calibrated_loss(calibration, net, x);
    CHECK(std::abs(loss.item<double>() - total) < 1e-12);
    CHECK_FALSE(loss.requires_grad());
  }
  // The value is the plain sum, constants included; a constant loss is an absent task.
  const auto v = calibration.fork<3>(net.features(x).front());
  const Tensor some = calibration.sum({net.loss(0, {v[0]}), torch::full({1}, 2.5, torch::kDouble), net.loss(2, {v[2]})});
  CHECK(std::abs(some.item<double>() - (total - plain_losses(net, x)[1].item<double>() + 2.5)) < 1e-12);
  some.backward();
  CHECK(calibration.diagnostics().conditions[1] == fuller::Condition::absent);
  // Nobody is there.
  const Tensor none = calibration.sum({Tensor(), Tensor(), Tensor()});
  REQUIRE(none.defined());
  CHECK(none.item<double>() == 0);
  CHECK_FALSE(none.requires_grad());
  CHECK(calibration.steps() == 1);

  for (Tensor& parameter : net.shared_parameters()) {
    parameter.set_requires_grad(false);
  }
  const auto frozen = calibration.fork<3>(net.features(x).front());
  CHECK_FALSE(frozen[0].requires_grad());
  calibration.sum({net.loss(0, {frozen[0]}), net.loss(1, {frozen[1]}), net.loss(2, {frozen[2]})}).backward();
  CHECK(calibration.steps() == 1);
  CHECK(calibration.diagnostics().weights == std::vector<double>{1, 1, 1});
}

namespace {

/// The identity, whose backward doubles the gradient where it is.
struct Writes : torch::autograd::Function<Writes> {
  static Tensor forward(torch::autograd::AutogradContext*, const Tensor& x) { return x.clone(); }
  static Tensors backward(torch::autograd::AutogradContext*, const Tensors& gradients) { return {gradients[0].mul_(2)}; }
};

}  // namespace

TEST_CASE("Hooks and functions that write to the gradient they are given, where that is sent more than once") {
  const auto writes = [](const Tensor& gradient) { gradient.mul_(2); };
  Network net = conv_network(2);
  const Tensor x = net.input(4);
  CalibrationOptions options;
  const auto refused = [&](bool forks, bool at_loss, int micro_batches = 1) {
    Calibration calibration(fuller::IMTL_G(), task_names(2), options);
    calibration.accumulate(micro_batches);
    const Tensor z = net.features(x).front();
    const auto v = forks ? calibration.fork(z) : Tensors{z, z};
    Tensors losses{net.loss(0, {v[0]}), net.loss(1, {v[1]})};
    if (at_loss) {
      losses[1] = Writes::apply(losses[1]);
    } else {
      z.register_hook(writes);
    }
    return thrown_by([&] { calibration.sum(losses).backward(); });
  };
  CHECK(contains(refused(true, false), "upstream of fork() changes the gradient that it is given in place"));
  CHECK(contains(refused(true, true), "between a loss and fork() changes"));
  options.surface = Surface::all_shared;
  for (const auto memory : {fuller::TaskMemory::all_layers, fuller::TaskMemory::layer_by_layer}) {
    options.memory = memory;
    CHECK(contains(refused(true, false), "upstream of fork() changes"));
    CHECK(contains(refused(true, true), "between a loss and fork() changes"));
    CHECK(refused(false, false).empty());  // there each task's gradient is another
    CHECK(contains(refused(false, true), "upstream of a loss changes"));
  }
  options.memory = fuller::TaskMemory::all_layers;
  CHECK(contains(refused(false, true, 2), "upstream of a loss changes"));

  options.non_finite = fuller::NonFinite::skip;  // has the tasks' gradients looked at, though nothing is shared
  Calibration calibration(fuller::IMTL_G(), task_names(2), options);
  const Tensor a = torch::ones({3}).requires_grad_();
  const Tensor b = torch::ones({3}).requires_grad_();
  const Tensors losses{a.pow(2).sum(), b.pow(3).sum()};
  losses[0].register_hook(writes);
  CHECK(contains(thrown_by([&] { calibration.sum(losses).backward(); }), "upstream of a loss changes"));
}
