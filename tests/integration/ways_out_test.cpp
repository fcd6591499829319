// SPDX-License-Identifier: Apache-2.0
// Each refusal names a way out, and the way out works: exact against plain passes.
#include <string>
#include <vector>

#include <torch/torch.h>

#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/multi_backward.hpp"
#include "support/networks.hpp"

using namespace fuller::testing;
using namespace torch::nn;
using fuller::ApplyTo;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::Surface;

namespace {

CalibrationOptions over_all_shared() {
  CalibrationOptions options;
  options.surface = Surface::all_shared;
  return options;
}

Tensor squares(const Tensors& parameters) {
  Tensor sum = torch::zeros({}, torch::kDouble);
  for (const Tensor& parameter : parameters) {
    sum = sum + 0.01 * parameter.pow(2).sum();
  }
  return sum;
}

/// The gradients, plus those of a term on the parameters themselves.
Tensors with_term(Tensors gradients, const Tensor& term, const Tensors& parameters) {
  const Tensors more = gradient_of(term, parameters);
  for (std::size_t k = 0; k < gradients.size(); ++k) {
    gradients[k] = gradients[k] + more[k];
  }
  return gradients;
}

}  // namespace

TEST_CASE("A regulariser over all parameters") {
  Network net = linear_network(2);
  const Tensor x = net.input(61);
  const Tensors losses = plain_losses(net, x);
  Weights weights = imtl_g(gram_at(losses, net.last));
  Calibration calibration(fuller::IMTL_G(), {"a", "b"});
  for (const auto& head : net.heads) {
    calibration.name_parameters(head[0]->named_parameters(), "head.");
  }
  const std::string said = thrown_by([&] { (calibrated_loss(calibration, net, x) + squares(net.parameters())).backward(); });
  INFO(said);
  CHECK(contains(said, "'head."));
  CHECK(contains(said, "weight decay"));
  CHECK(contains(said, "ApplyTo::shared_only"));
  // Within a task's loss it would be weighted, and reaches the trunk past the fork.
  const auto z = calibration.fork<2>(net.features(x).front());
  const std::string inside = thrown_by([&] {
    calibration.sum({net.loss(0, {z[0]}) + squares(net.shared_parameters()), net.loss(1, {z[1]})});
  });
  CHECK(contains(inside, "weight decay, or outside the sum"));
  // The ways out: on shared parameters outside the sum; on all under shared_only; weight decay.
  clear(net.parameters());
  (calibrated_loss(calibration, net, x) + squares(net.shared_parameters())).backward();
  CHECK(difference(gradients_of(net.parameters()),
                   with_term(expected_gradients(net, x, weights), squares(net.shared_parameters()), net.parameters())) < 1e-12);
  CalibrationOptions options;
  options.apply_to = ApplyTo::shared_only;
  Calibration shared_only(fuller::IMTL_G(), {"a", "b"}, options);
  weights.heads = {1, 1};
  const Tensors expected = with_term(expected_gradients(net, x, weights), squares(net.parameters()), net.parameters());
  clear(net.parameters());
  (calibrated_loss(shared_only, net, x) + squares(net.parameters())).backward();
  CHECK(difference(gradients_of(net.parameters()), expected) < 1e-12);
  // Without a fork the weights are at the losses: there ApplyTo::all leaves the heads' gradients alone.
  options = over_all_shared();
  options.apply_to = ApplyTo::all;
  Calibration at_sum(fuller::IMTL_G(), {"a", "b"}, options);
  const Weights of_all = imtl_g(gram_at(losses, net.shared_parameters()));
  const Tensors expected_at_sum = with_term(expected_gradients(net, x, of_all), squares(net.parameters()), net.parameters());
  clear(net.parameters());
  (at_sum.sum(plain_losses(net, x)) + squares(net.parameters())).backward();
  CHECK(difference(gradients_of(net.parameters()), expected_at_sum) < 1e-12);
}

TEST_CASE("A loss on detached features belongs outside the sum") {
  Network net = linear_network(3);
  const Tensor x = net.input(62);
  const Tensors losses = plain_losses(net, x);
  Calibration calibration(fuller::IMTL_G(), task_names(3));
  auto z = calibration.fork<3>(net.features(x).front());
  const std::string said = thrown_by([&] {
    calibration.sum({net.loss(0, {z[0]}), net.loss(1, {z[1].detach()}), net.loss(2, {z[2]})});
  });
  INFO(said);
  CHECK(contains(said, "the loss of 't1'"));
  CHECK(contains(said, "outside the sum: calibration.sum({..., torch::Tensor(), ...}) + loss"));
  const Weights two = imtl_g(gram_at({losses[0], losses[2]}, net.last));
  Tensors expected = expected_gradients(net, x, {{two.shared[0], 0, two.shared[1]}, {two.heads[0], 1, two.heads[1]}});
  clear(net.parameters());
  z = calibration.fork<3>(net.features(x).front());
  (calibration.sum({net.loss(0, {z[0]}), Tensor(), net.loss(2, {z[2]})}) + net.loss(1, {z[1].detach()})).backward();
  CHECK(difference(gradients_of(net.parameters()), expected) < 1e-12);
}

TEST_CASE("Two data sets, each with a forward of its own") {
  Network net = linear_network(2);
  const Tensor x = net.input(63);
  const Tensor y = net.input(64);
  Calibration calibration(fuller::IMTL_G(), {"a", "b"});
  const auto of_x = calibration.fork<2>(net.features(x).front());
  const auto of_y = calibration.fork<2>(net.features(y).front());
  const std::string said = thrown_by([&] { calibration.sum({net.loss(0, {of_x[0]}), net.loss(1, {of_y[1]})}); });
  INFO(said);
  CHECK(contains(said, "two calls of fork()"));
  CHECK(contains(said, "along the batch"));
  CHECK(contains(said, "Surface::all_shared and call no fork() at all"));
  const auto losses = [&] { return Tensors{net.loss(0, net.features(x)), net.loss(1, net.features(y))}; };
  const std::vector<Tensors> heads{net.head_parameters(0), net.head_parameters(1)};
  const Tensors plain = losses();
  CalibrationOptions options = over_all_shared();
  Calibration without_fork(fuller::IMTL_G(), {"a", "b"}, options);
  const Tensors expected =
      weighted_gradients(plain, net.shared_parameters(), heads, imtl_g(gram_at(plain, net.shared_parameters())));
  clear(net.parameters());
  without_fork.sum(losses()).backward();
  CHECK(difference(gradients_of(net.parameters()), expected) < 1e-12);
  // Both along the batch.
  const Tensors joined = weighted_gradients(plain, net.shared_parameters(), heads, imtl_g(gram_at(plain, net.last)));
  clear(net.parameters());
  const auto z = calibration.fork<2>(net.features(torch::cat({x, y})).front());
  calibration.sum({net.loss(0, {z[0].slice(0, 0, 24)}), net.loss(1, {z[1].slice(0, 24)})}).backward();
  CHECK(difference(gradients_of(net.parameters()), joined) < 1e-12);
}

TEST_CASE("Losses that hold derivatives of outputs") {
  Network net = linear_network(2);
  const Tensor x = net.input(65).set_requires_grad(true);
  // u' = u at the points, and u = 1 at others: a residual that is differentiated itself.
  const auto losses_of = [&](const Tensor& z_equation, const Tensor& z_data) {
    const Tensor u = net.heads[0][0]->forward(z_equation);
    const Tensor slope = torch::autograd::grad({u.sum()}, {x}, {}, /*retain_graph=*/true, /*create_graph=*/true)[0];
    return Tensors{(slope.select(1, 0).unsqueeze(1) - u).pow(2).mean(), 3 * (net.heads[1][0]->forward(z_data) - 1).pow(2).mean()};
  };
  Calibration calibration(fuller::IMTL_G(), {"equation", "data"});
  const auto z = calibration.fork<2>(net.features(x).front());
  const std::string said = thrown_by([&] { losses_of(z[0], z[1]); });
  INFO(said);
  CHECK(contains(said, "PINN"));
  CHECK(contains(said, "Surface::all_shared and no fork()"));
  const Tensor other = net.features(x).front();
  const auto w = calibration.fork<2>(other);
  CHECK(contains(thrown_by([&] { torch::autograd::grad({w[0].sum()}, {x}); }), "leave fork() out"));

  CalibrationOptions options = over_all_shared();
  Calibration without_fork(fuller::IMTL_G(), {"equation", "data"}, options);
  const Tensor plain = net.features(x).front();
  const Tensors losses = losses_of(plain, plain);
  Tensors shared = net.shared_parameters();
  shared.push_back(x);  // which needs a gradient, and which both losses reach
  const Tensors expected = weighted_gradients(losses, net.shared_parameters(), {net.head_parameters(0), net.head_parameters(1)},
                                              imtl_g(gram_at(losses, shared)));
  clear(net.parameters());
  const Tensor again = net.features(x).front();
  without_fork.sum(losses_of(again, again)).backward();
  CHECK(difference(gradients_of(net.parameters()), expected) < 1e-12);
}

TEST_CASE("A consistency loss over two heads") {
  Network net = linear_network(2);
  const Tensor x = net.input(66);
  const auto consistency = [&](const Tensor& a, const Tensor& b) {
    return 2 * (net.heads[0][0]->forward(a) - net.heads[1][0]->forward(b)).pow(2).mean();
  };
  Calibration calibration(fuller::IMTL_G(), {"a", "b"});
  auto z = calibration.fork<2>(net.features(x).front());
  const std::string inside = thrown_by([&] {
    calibration.sum({net.loss(0, {z[0]}) + consistency(z[0], z[1]), net.loss(1, {z[1]})});
  });
  INFO(inside);
  CHECK(contains(inside, "a consistency of two heads"));
  CHECK(contains(inside, "Surface::all_shared"));
  const std::string outside = thrown_by([&] {
    (calibration.sum({net.loss(0, {z[0]}), net.loss(1, {z[1]})}) + consistency(z[0], z[1])).backward();
  });
  INFO(outside);
  CHECK(contains(outside, "Surface::all_shared"));
  // As a task of its own, and within one of the losses; with the fork left where it is, and without.
  const Tensor plain = net.features(x).front();
  const Tensor term = consistency(plain, plain);
  for (const bool of_its_own : {true, false}) {
    for (const bool forked : {true, false}) {
      const auto losses_of = [&](const Tensor& a, const Tensor& b) {
        const Tensor both = consistency(a, b);
        return of_its_own ? Tensors{net.loss(0, {a}), net.loss(1, {b}), both}
                          : Tensors{net.loss(0, {a}) + both, net.loss(1, {b})};
      };
      const Tensors losses = losses_of(plain, plain);
      // Everything that two losses reach: the trunk, and the heads that the consistency reads.
      const Tensors shared = of_its_own ? net.parameters() : [&] {
        Tensors list = net.shared_parameters();
        append(list, net.head_parameters(1));
        return list;
      }();
      const Weights weights = imtl_g(gram_at(losses, shared));
      Tensors expected;
      for (const Tensor& parameter : net.parameters()) {
        Tensor sum = torch::zeros_like(parameter);
        for (std::size_t i = 0; i < losses.size(); ++i) {
          sum = sum + weights.shared[i] * gradient_of(losses[i], {parameter})[0];
        }
        expected.push_back(sum);
      }
      CalibrationOptions options = over_all_shared();
      options.apply_to = ApplyTo::all;
      Calibration by_sum(fuller::IMTL_G(), of_its_own ? task_names(3) : task_names(2), options);
      clear(net.parameters());
      Tensor a = net.features(x).front();
      Tensor b = a;
      if (forked) {
        const auto outputs = by_sum.fork(a);
        a = outputs[0];
        b = outputs[1];
      }
      by_sum.sum(losses_of(a, b)).backward();
      CHECK(difference(gradients_of(net.parameters()), expected) < 1e-12);
    }
  }
}

TEST_CASE("A skip connection goes through fork_levels()") {
  torch::manual_seed(67);
  Conv2d down(3, 4, 3);
  Conv2d deep(4, 5, 3);
  std::vector<ConvTranspose2d> up{ConvTranspose2d(5, 4, 3), ConvTranspose2d(5, 4, 3)};
  std::vector<Conv2d> out{Conv2d(8, 1, 1), Conv2d(8, 2, 1)};
  for (const auto& module :
       std::vector<std::shared_ptr<Module>>{down.ptr(), deep.ptr(), up[0].ptr(), up[1].ptr(), out[0].ptr(), out[1].ptr()}) {
    module->to(torch::kDouble);
  }
  Tensors shared = down->parameters();
  append(shared, deep->parameters());
  std::vector<Tensors> heads;
  Tensors parameters = shared;
  for (std::size_t i = 0; i < 2; ++i) {
    heads.push_back(up[i]->parameters());
    append(heads.back(), out[i]->parameters());
    append(parameters, heads.back());
  }
  const Tensor x = torch::randn({2, 3, 9, 9}, torch::kDouble);
  const auto loss = [&](std::size_t i, const Tensor& z, const Tensor& skip) {
    return (i == 0 ? 1.0 : 9.0) * out[i](torch::cat({up[i](z), skip}, 1)).pow(2).mean();
  };
  const auto levels = [&] {
    const Tensor skip = torch::tanh(down(x));
    return Tensors{torch::tanh(deep(skip)), skip};
  };
  Calibration calibration(fuller::IMTL_G(), {"depth", "normals"});
  const Tensors in = levels();
  const auto z = calibration.fork<2>(in[0]);
  const std::string said = thrown_by([&] { calibration.sum({loss(0, z[0], in[1]), loss(1, z[1], in[1])}); });
  INFO(said);
  CHECK(contains(said, "calibration.fork_levels({z, skip})"));
  const Tensors plain = levels();
  const Tensors losses{loss(0, plain[0], plain[1]), loss(1, plain[0], plain[1])};
  const Tensors expected = weighted_gradients(losses, shared, heads, imtl_g(gram_at(losses, {deep->weight, down->weight})));
  clear(parameters);
  const Tensors again = levels();
  const auto [a, b] = calibration.fork<2>({again[0], again[1]});
  calibration.sum({loss(0, a[0], a[1]), loss(1, b[0], b[1])}).backward();
  CHECK(difference(gradients_of(parameters), expected) < 1e-12);
}
