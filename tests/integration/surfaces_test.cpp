// SPDX-License-Identifier: Apache-2.0
// Which parameters' gradients are compared: found, named, several; losses that share more than the trunk.
#include <array>
#include <cmath>
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

/// The norms that a calibration sees for two losses of z, whose graph `build` makes anew for each use, against gradients of
/// `surface`.
template <class Build>
void expect_surface(const char* what, const Tensors& surface, const Build& build, CalibrationOptions options = {},
                    const Tensors& named = {}) {
  INFO(what);
  const auto losses_of = [](const Tensor& a, const Tensor& b) { return Tensors{a.sin().sum(), 3 * b.pow(2).mean() + b.sum()}; };
  const Tensor plain = build();
  const Eigen::VectorXd norms = gram_at(losses_of(plain, plain), surface).diagonal().cwiseSqrt();
  Calibration calibration(fuller::IMTL_G(), {"a", "b"}, options);
  const auto z = calibration.fork<2>(build(), named);
  calibration.sum(losses_of(z[0], z[1])).backward();
  const std::vector<double> seen = calibration.diagnostics().norms;
  REQUIRE(seen.size() == 2);
  CHECK(std::abs(seen[0] / norms[0] - 1) < 1e-12);
  CHECK(std::abs(seen[1] / norms[1] - 1) < 1e-12);
}

}  // namespace

TEST_CASE("The last shared layer is found through whatever follows it") {
  torch::manual_seed(2);
  const auto options = torch::TensorOptions(torch::kDouble);
  const Tensor image = torch::randn({2, 3, 8, 8}, options);
  const Tensor rows = torch::randn({6, 8}, options);
  const Tensor sequence = torch::randn({2, 5, 8}, options);
  Conv2d conv(3, 8, 3);
  Conv2d plain(Conv2dOptions(3, 8, 3).bias(false));
  Conv3d volume(2, 4, 3);
  Conv1d line(8, 4, 1);
  ConvTranspose2d up(3, 4, 2);
  Linear linear(8, 7);
  Linear linear_plain(LinearOptions(8, 7).bias(false));
  BatchNorm2d norm(8);
  LayerNorm layer_norm(LayerNormOptions({7}));
  GroupNorm group_norm(2, 8);
  Embedding embedding(10, 8);
  for (const std::shared_ptr<Module>& module : std::vector<std::shared_ptr<Module>>{
           conv.ptr(), plain.ptr(), volume.ptr(), line.ptr(), up.ptr(), linear.ptr(), linear_plain.ptr(), norm.ptr(),
           layer_norm.ptr(), group_norm.ptr(), embedding.ptr()}) {
    module->to(torch::kDouble);
  }
  expect_surface("conv", {conv->weight}, [&] { return conv(image); });
  expect_surface("conv without bias", {plain->weight}, [&] { return plain(image); });
  expect_surface("relu, norm, conv", {conv->weight}, [&] { return torch::relu(norm(conv(image))); });
  expect_surface("group norm", {conv->weight}, [&] { return group_norm(conv(image)).tanh(); });
  expect_surface("pool and flatten", {conv->weight}, [&] { return torch::max_pool2d(conv(image), 2).flatten(1); });
  expect_surface("interpolated", {conv->weight}, [&] { return torch::upsample_nearest2d(conv(image), {12, 12}); });
  expect_surface("conv 3-D", {volume->weight}, [&] { return volume(torch::ones({1, 2, 4, 4, 4}, options)); });
  expect_surface("conv 1-D", {line->weight}, [&] { return line(torch::ones({2, 8, 5}, options)).transpose(1, 2); });
  expect_surface("transposed conv", {up->weight}, [&] { return up(image); });
  expect_surface("linear", {linear->weight}, [&] { return linear(rows); });
  expect_surface("linear without bias", {linear_plain->weight}, [&] { return linear_plain(rows).relu(); });
  expect_surface("linear on sequences", {linear->weight}, [&] { return linear(sequence).relu(); });
  expect_surface("linear on sequences without bias", {linear_plain->weight}, [&] { return linear_plain(sequence); });
  expect_surface("layer norm after linear", {linear->weight}, [&] { return layer_norm(linear(rows)); });
  expect_surface("dropout of 0", {linear->weight}, [&] { return torch::dropout(linear(rows), 0.5, false) * 2.0; });
  expect_surface("embedding", {embedding->weight}, [&] { return embedding(torch::tensor({1, 2, 2, 7})); });

  const Tensor scale = torch::rand({1, 8, 1, 1}, options).set_requires_grad(true);
  const Tensor place = torch::randn({1, 5, 7}, options).set_requires_grad(true);
  expect_surface("a learnt scale per channel is no layer", {conv->weight}, [&] { return conv(image) * scale; });
  expect_surface("nor is a learnt position", {linear->weight}, [&] { return linear(sequence) + place; });

  CalibrationOptions with_bias;
  with_bias.last_shared_bias = true;
  expect_surface(
      "conv and its bias", {conv->weight, conv->bias}, [&] { return conv(image).relu(); }, with_bias);
  expect_surface(
      "linear and its bias", {linear->weight, linear->bias}, [&] { return linear(rows); }, with_bias);
  expect_surface(
      "linear on sequences and its bias", {linear->weight, linear->bias}, [&] { return linear(sequence); }, with_bias);
  expect_surface(
      "no bias to add", {plain->weight}, [&] { return plain(image); }, with_bias);
}

TEST_CASE("Named parameters are the surface: one tensor, several, further back") {
  Network net = conv_network(2);
  const Tensor x = net.input(3);
  const Tensors p = net.trunk->parameters();
  const auto build = [&] { return net.features(x).front(); };
  expect_surface("the last weight", {p[2]}, build, {}, {p[2]});
  expect_surface("the first weight", {p[0]}, build, {}, {p[0]});
  expect_surface("a bias alone", {p[3]}, build, {}, {p[3]});
  expect_surface("two layers", {p[0], p[2], p[3]}, build, {}, {p[0], p[2], p[3]});
  Conv2d block(6, 6, 1);
  block->to(torch::kDouble);
  const auto residual = [&] {
    const Tensor z = net.features(x).front();
    return z + block(z.tanh());
  };
  expect_surface("a residual, where nothing is found", {p[2]}, residual, {}, {p[2]});

  Network wide = wide_network(2);
  const Tensor rows = wide.input(4);
  const Tensors q = wide.trunk->parameters();
  expect_surface("a wide linear weight by name", {q[2]}, [&] { return wide.features(rows).front(); }, {}, {q[2]});
  expect_surface("and with its bias", {q[2], q[3]}, [&] { return wide.features(rows).front(); }, {}, {q[2], q[3]});
  expect_surface("before an activation", {q[2]}, [&] { return wide.features(rows).front().tanh(); });
}

TEST_CASE("A linear layer whose weight's gradient is not inputs times cotangents: used twice, made from the leaf, scaled") {
  // Few rows of many features: such layers are compared without forming their gradients where that is right.
  torch::manual_seed(11);
  const auto wide = torch::TensorOptions(torch::kDouble).requires_grad(true);
  const Tensor weight = torch::randn({24, 24}, wide);
  const Tensor bias = torch::randn({24}, wide);
  const Tensor x = torch::randn({3, 24}, torch::kDouble);
  const auto check = [&](const char* what, const auto& build) {
    expect_surface(what, {weight}, build);
    expect_surface(what, {weight}, build, {}, {weight});
  };
  check("once", [&] { return x.mm(weight.t()); });
  check("without a transposition", [&] { return x.mm(weight); });
  check("twice", [&] { return torch::linear(torch::tanh(torch::linear(x, weight, bias)), weight, bias); });
  check("twice through one transposition", [&] {
    const Tensor transposed = weight.t();
    return torch::tanh(x.mm(transposed)).mm(transposed);
  });
  check("tied to an embedding", [&] {
    const Tensor rows = weight.index_select(0, torch::tensor({1, 7, 7}));
    return torch::linear(torch::tanh(rows), weight);
  });
  check("twice, the product read twice", [&] {
    const Tensor once = x.mm(weight.t());
    return torch::tanh(once * once.sin()).mm(weight.t());
  });
  check("of a function of the leaf", [&] { return x.mm(torch::tanh(weight).t()); });
  check("of a slice of the leaf", [&] { return x.mm(weight.slice(1, 3, 20)); });
  check("under a hook that changes the gradient", [&] {
    const Tensor z = x.mm(weight.t());
    z.register_hook([](const Tensor& gradient) { return gradient * torch::arange(24, torch::kDouble); });
    return z;
  });
  check("of a sparse input", [&] { return x.to_sparse().mm(weight); });
  check("scaled", [&] { return torch::addmm(bias, x, weight.t(), 1, 3); });
  const Tensor before = torch::randn({24, 24}, wide);
  const Tensor flat = torch::randn({3, 24}, wide);
  expect_surface("from the left", {flat}, [&] { return flat.mm(x.mm(before).t()); });
  expect_surface("from the left, with a bias", {flat},
                 [&] { return torch::addmm(bias.narrow(0, 0, 3).unsqueeze(1), flat, torch::tanh(x.mm(before)).t()); });
}

TEST_CASE("A linear layer without inputs says nothing, and stops nothing") {
  const auto wide = torch::TensorOptions(torch::kDouble).requires_grad(true);
  const Tensor weight = torch::zeros({24, 0}, wide);
  const Tensor bias = torch::randn({24}, wide);
  Calibration calibration(fuller::IMTL_G(), {"a", "b"});
  const auto z = calibration.fork<2>(torch::linear(torch::zeros({3, 0}, torch::kDouble), weight, bias));
  calibration.sum({z[0].sin().sum(), z[1].cos().sum()}).backward();
  const Tensor at = bias.detach();
  CHECK(difference({bias.grad()}, {3 * (at.cos() - at.sin())}) < 1e-12);
}

TEST_CASE("Parameters that a layer's output is joined with, compared with or added to are not its weight") {
  torch::manual_seed(12);
  const auto wide = torch::TensorOptions(torch::kDouble).requires_grad(true);
  Linear linear(6, 16);
  linear->to(torch::kDouble);
  const Tensor x = torch::randn({4, 6}, torch::kDouble);
  const Tensor token = torch::randn({1, 16}, wide);
  const Tensor mask = torch::tensor({1, 0, 0, 1}, torch::kBool).unsqueeze(1);
  const Tensors weight{linear->weight};
  expect_surface("a class token", weight, [&] { return torch::cat({token.expand({2, 16}), linear(x)}); });
  expect_surface("a mask token", weight, [&] { return torch::where(mask, token, linear(x)); });
  expect_surface("a learnt threshold", weight, [&] { return torch::maximum(linear(x), token); });
  expect_surface("a learnt power", weight, [&] { return torch::pow(linear(x).abs() + 1, token); });
  const Tensor left = torch::randn({5, 6}, wide);
  const Tensor bias = torch::randn({5, 1}, wide);
  const Tensor rows = torch::randn({6, 6}, wide);
  expect_surface("a bias of two dimensions", {left}, [&] { return torch::addmm(bias, left, torch::relu(x.mm(rows)).t()); });
  const Tensor batch = torch::randn({2, 6, 16}, wide);
  const Tensor batch_bias = torch::randn({2, 1, 16}, wide);
  expect_surface("and of three", {batch}, [&] { return torch::baddbmm(batch_bias, torch::stack({x, x.sin()}), batch); });
}

TEST_CASE("Where the last layer cannot be told, fork() says how to name it") {
  Network net = conv_network(2);
  const Tensor x = net.input(3);
  Calibration calibration(fuller::IMTL_G(), {"a", "b"});
  const Tensor z = net.features(x).front();
  Conv2d block(6, 6, 1);
  block->to(torch::kDouble);
  const Tensor residual = z + block(z.tanh());
  CHECK(contains(thrown_by([&] { calibration.fork(residual); }), "name its parameters"));
  CHECK(contains(thrown_by([&] { calibration.fork(torch::cat({z, block(z)}, 1)); }), "splits"));
  CHECK(contains(thrown_by([&] { calibration.fork(x.clone().set_requires_grad(true) * 2); }), "shared"));
  CHECK(contains(thrown_by([&] { calibration.fork(z, {x}); }), "needs no gradient"));
  CHECK(contains(thrown_by([&] { calibration.fork(z, {Tensor()}); }), "undefined"));
  CHECK(contains(thrown_by([&] { calibration.fork(Tensor()); }), "undefined"));
  CHECK(contains(thrown_by([&] { calibration.fork<3>(z); }), "fork<3>"));

  // A rule that never looks at gradients needs no surface.
  Calibration uniform(fuller::Uniform(), {"a", "b"});
  CHECK(thrown_by([&] { uniform.fork(residual); }).empty());
  Calibration dwa(fuller::DWA(), {"a", "b"});
  CHECK(thrown_by([&] { dwa.fork(torch::cat({z, block(z)}, 1)); }).empty());
}

TEST_CASE("Several levels of which tasks read some, and of which some are not trained") {
  Network net = pyramid_network(3);
  const Tensor x = net.input(5);
  const Tensor map = torch::randn({2, 4}, torch::kDouble);  // a level that nothing is trained upstream of
  const auto losses_of = [&](const std::vector<Tensors>& of_task) {
    return Tensors{net.loss(0, {of_task[0][0], of_task[0][1]}) + of_task[0][2].sum(),
                   net.heads[1][0]->forward(of_task[1][0]).pow(2).mean(), net.heads[2][1]->forward(of_task[2][1]).abs().mean()};
  };
  Tensors plain = net.features(x);
  plain.push_back(map);
  const Tensors losses = losses_of({plain, plain, plain});
  const std::vector<Tensors> heads{net.head_parameters(0), net.head_parameters(1), net.head_parameters(2)};
  for (const Surface surface : {Surface::last_shared, Surface::representation, Surface::all_shared}) {
    INFO("surface " << static_cast<int>(surface));
    const Tensors at = surface == Surface::last_shared      ? net.last
                       : surface == Surface::representation ? Tensors{plain[0], plain[1]}
                                                            : net.shared_parameters();
    const Tensors expected = weighted_gradients(losses, net.shared_parameters(), heads, imtl_g(gram_at(losses, at)));
    CalibrationOptions options;
    options.surface = surface;
    Calibration calibration(fuller::IMTL_G(), task_names(3), options);
    clear(net.parameters());
    Tensors levels = net.features(x);
    levels.push_back(map);
    const auto forked = calibration.fork_levels(levels);
    CHECK(forked[1][2].is_same(map));
    calibration.sum(losses_of(forked)).backward();
    CHECK(difference(gradients_of(net.parameters()), expected) < 1e-12);
  }
}

TEST_CASE("A wide linear layer on a small batch with a task that is absent") {
  Network net = wide_network(4);
  const Tensor x = net.input(5);
  const Tensors losses = plain_losses(net, x);
  const Weights three = imtl_g(gram_at({losses[0], losses[2], losses[3]}, net.last));
  const Weights weights{{three.shared[0], 0, three.shared[1], three.shared[2]},
                        {three.heads[0], 0, three.heads[1], three.heads[2]}};
  const Tensors expected = expected_gradients(net, x, weights);
  Calibration calibration(fuller::IMTL_G(), task_names(4));
  CHECK(difference(calibrated_gradients(calibration, net, x, {1, 0, 1, 1}), expected) < 1e-12);
}

TEST_CASE("All shared parameters: losses of one decoder, with and without a fork") {
  // box, class and velocity read one decoder, each after a layer of its own; segmentation has a head of its own.
  torch::manual_seed(6);
  Sequential trunk(Linear(6, 12), Tanh(), Linear(12, 10));
  Sequential decoder(Linear(10, 8), Tanh());
  std::vector<Linear> own{Linear(8, 2), Linear(8, 3), Linear(8, 2)};
  Linear segmentation(10, 4);
  Tensors parameters;
  for (const auto& module : std::vector<std::shared_ptr<Module>>{trunk.ptr(), decoder.ptr(), own[0].ptr(), own[1].ptr(),
                                                                 own[2].ptr(), segmentation.ptr()}) {
    module->to(torch::kDouble);
    append(parameters, module->parameters());
  }
  Tensors shared = trunk->parameters();
  append(shared, decoder->parameters());
  const std::vector<Tensors> heads{own[0]->parameters(), own[1]->parameters(), own[2]->parameters(), segmentation->parameters()};
  const Tensor x = torch::randn({7, 6}, torch::kDouble);
  const auto losses_of = [&](const Tensor& z, const Tensor& z_segmentation) {
    const Tensor query = decoder->forward(z);
    return Tensors{own[0](query).abs().mean(), 5 * own[1](query).pow(2).mean(), (own[2](query) - 1).pow(2).mean(),
                   segmentation(z_segmentation).sin().mean()};
  };
  const std::vector<std::string> names{"box", "class", "velocity", "segmentation"};
  const Tensor plain = trunk->forward(x);
  const Tensors losses = losses_of(plain, plain);
  const Eigen::MatrixXd M = gram_at(losses, shared);
  for (const ApplyTo apply_to : {ApplyTo::all, ApplyTo::shared_only}) {
    for (const bool forked : {false, true}) {
      INFO("apply to " << static_cast<int>(apply_to) << ", forked " << forked);
      Weights weights = imtl_g(M);
      if (apply_to == ApplyTo::shared_only) {
        weights.heads.assign(4, 1.0);
      }
      const Tensors expected = weighted_gradients(losses, shared, heads, weights);
      CalibrationOptions options;
      options.surface = Surface::all_shared;
      options.apply_to = apply_to;
      Calibration calibration(fuller::IMTL_G(), names, options);
      clear(parameters);
      Tensor z = trunk->forward(x);
      Tensor z_segmentation = z;
      if (forked) {
        const auto outputs = calibration.fork<4>(z);
        z = outputs[0];
        z_segmentation = outputs[3];
      }
      calibration.sum(losses_of(z, z_segmentation)).backward();
      CHECK(largest_difference(calibration.diagnostics().weights, weights.shared) < 1e-12);
      CHECK(difference(gradients_of(parameters), expected) < 1e-12);
      // Again on top of it: gradients accumulate.
      const auto storage = parameters.back().grad().data_ptr();
      z = trunk->forward(x);
      calibration.sum(losses_of(z, z)).backward();
      Tensors twice;
      for (const Tensor& gradient : expected) {
        twice.push_back(2 * gradient);
      }
      CHECK(difference(gradients_of(parameters), twice) < 1e-12);
      CHECK(parameters.back().grad().data_ptr() == storage);
    }
  }
  Calibration one_pass(fuller::IMTL_G(), names);
  const auto z = one_pass.fork<4>(trunk->forward(x));
  const std::string said = thrown_by([&] { one_pass.sum(losses_of(z[0], z[3])); });
  CHECK(contains(said, "all_shared"));
}

TEST_CASE("All shared parameters: a head's gradient is memory of its own") {
  const auto wide = torch::TensorOptions(torch::kDouble).requires_grad(true);
  torch::manual_seed(14);
  Linear shared(3, 4);
  shared->to(torch::kDouble);
  const Tensor p = torch::randn({4}, wide);
  const Tensor q = torch::randn({4}, wide);
  const Tensor r = torch::randn({4}, wide);
  const Tensor x = torch::randn({5, 3}, torch::kDouble);
  const Tensor factor = torch::randn({4}, torch::kDouble);
  Calibration calibration(fuller::PCGrad(), {"a", "b"});
  for (int step = 1; step <= 2; ++step) {
    const Tensor mean = shared(x).mean(0);
    calibration.sum({((mean + p + q) * factor).sum(), (mean.sin() + r).sum()}).backward();
    CHECK_FALSE(p.grad().is_alias_of(q.grad()));
    CHECK(r.grad().is_contiguous());
    CHECK(difference({p.grad(), q.grad(), r.grad()}, {step * factor, step * factor, step * torch::ones_like(r)}) < 1e-12);
  }
}

TEST_CASE("All shared parameters: what was shared stays so in steps of one task, and what is named is compared") {
  torch::manual_seed(15);
  Sequential trunk(Linear(6, 8), Tanh(), Linear(8, 5));
  Sequential decoder(Linear(5, 7), Tanh());
  Linear one(7, 2);
  Linear two(7, 3);
  for (const auto& module : std::vector<std::shared_ptr<Module>>{trunk.ptr(), decoder.ptr(), one.ptr(), two.ptr()}) {
    module->to(torch::kDouble);
  }
  Tensors shared = trunk->parameters();
  append(shared, decoder->parameters());
  const Tensor x = torch::randn({4, 6}, torch::kDouble);
  const auto losses_of = [&](const Tensor& z, const Tensor& z_two) {
    return Tensors{one(decoder->forward(z)).pow(2).mean(), 30 * two(decoder->forward(z_two)).sin().mean()};
  };
  for (const bool forked : {false, true}) {
    CalibrationOptions options;
    options.surface = Surface::all_shared;
    options.apply_to = ApplyTo::shared_only;
    Calibration calibration(fuller::IMTL_G(), {"a", "b"}, options);
    const auto sum_of = [&](bool with_a) {
      const Tensor plain = trunk->forward(x);
      const auto z = forked ? calibration.fork<2>(plain) : std::array<Tensor, 2>{plain, plain};
      Tensors losses = losses_of(z[0], z[1]);
      losses[0] = with_a ? losses[0] : Tensor();
      return calibration.sum(losses);
    };
    sum_of(true).backward();
    const double held = calibration.diagnostics().weights[1];
    CHECK(std::abs(held - 1) > 0.1);
    const Tensor z = trunk->forward(x);
    const Tensor loss = losses_of(z, z)[1];
    Tensors expected = gradient_of(loss, shared);
    for (Tensor& gradient : expected) {
      gradient = gradient * held;
    }
    append(expected, gradient_of(loss, two->parameters()));
    Tensors parameters = shared;
    append(parameters, two->parameters());
    clear(parameters);
    sum_of(false).backward();
    CHECK(difference(gradients_of(parameters), expected) < 1e-12);
  }
  CalibrationOptions options;
  options.surface = Surface::all_shared;
  const Tensors named{decoder->parameters()[0]};
  const Tensor plain = trunk->forward(x);
  const Weights weights = imtl_g(gram_at(losses_of(plain, plain), named));
  Calibration calibration(fuller::IMTL_G(), {"a", "b"}, options);
  const auto z = calibration.fork<2>(trunk->forward(x), named);
  calibration.sum(losses_of(z[0], z[1])).backward();
  CHECK(largest_difference(calibration.diagnostics().weights, weights.shared) < 1e-12);
}

TEST_CASE("All shared parameters: a skip connection past the fork is exact") {
  Network net = conv_network(3);
  const Tensor x = net.input(8);
  const auto middle_of = [&] { return net.trunk[0]->as<Conv2d>()->forward(x).tanh(); };
  const auto last_of = [&](const Tensor& middle) { return net.trunk[2]->as<Conv2d>()->forward(middle); };
  const Tensor middle = middle_of();
  const Tensor plain = last_of(middle);
  const Tensors losses{net.loss(0, {plain}) + middle.pow(2).mean(), net.loss(1, {plain}), net.loss(2, {plain})};
  std::vector<Tensors> heads{net.head_parameters(0), net.head_parameters(1), net.head_parameters(2)};
  const Eigen::MatrixXd M = gram_at(losses, net.shared_parameters());
  Weights weights = RuleAlone<fuller::PCGrad>(fuller::PCGrad(), 3)(M, values_of(losses));
  weights.heads.assign(3, 1.0);
  const Tensors expected = weighted_gradients(losses, net.shared_parameters(), heads, weights);
  Calibration calibration(fuller::PCGrad(), task_names(3));
  clear(net.parameters());
  const Tensor again = middle_of();
  const auto z = calibration.fork<3>(last_of(again));
  calibration.sum({net.loss(0, {z[0]}) + again.pow(2).mean(), net.loss(1, {z[1]}), net.loss(2, {z[2]})}).backward();
  CHECK(difference(gradients_of(net.parameters()), expected) < 1e-12);
}

TEST_CASE("All shared parameters: absent tasks and Uniform") {
  Network net = linear_network(3);
  const Tensor x = net.input(9);
  CalibrationOptions options;
  options.surface = Surface::all_shared;
  Calibration uniform(fuller::Uniform(), task_names(3), options);
  clear(net.parameters());
  uniform.sum(plain_losses(net, x)).backward();
  CHECK(difference(gradients_of(net.parameters()), expected_gradients(net, x, {{1, 1, 1}, {1, 1, 1}})) < 1e-12);

  Calibration imtl(fuller::IMTL_G(), task_names(3), options);
  clear(net.parameters());
  Tensors losses = plain_losses(net, x);
  const Weights weights = imtl_g(gram_at({losses[0], losses[2]}, net.shared_parameters()));
  const Tensors expected =
      expected_gradients(net, x, {{weights.shared[0], 0, weights.shared[1]}, {weights.heads[0], 0, weights.heads[1]}});
  losses[1] = Tensor();
  imtl.sum(losses).backward();
  CHECK(difference(gradients_of(net.parameters()), expected) < 1e-12);
  for (const Tensor& parameter : net.head_parameters(1)) {
    CHECK_FALSE(parameter.grad().defined());
  }
}
