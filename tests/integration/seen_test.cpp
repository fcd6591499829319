// SPDX-License-Identifier: Apache-2.0
// What was chosen can be seen: surface, shared parameters, route, cost and policies in the diagnostics, under the user's names;
// losses by name; several levels under fork().
#include <array>
#include <cmath>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
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
using fuller::Diagnostics;
using fuller::Route;
using fuller::Surface;

namespace {

std::vector<std::string> names_of(const std::vector<fuller::NamedShape>& list) {
  std::vector<std::string> names;
  for (const fuller::NamedShape& one : list) {
    names.push_back(one.name);
  }
  return names;
}

using Names = std::vector<std::string>;
using Shape = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("The diagnostics show the surface, the shared set, the route and what a step cost") {
  Network net = linear_network(3, torch::kFloat);
  const Tensor x = net.input(51);
  const auto step_of = [&](Calibration& calibration) {
    calibration.name_parameters(net.trunk->named_parameters(), "trunk.");
    clear(net.parameters());
    calibrated_loss(calibration, net, x).backward();
    return calibration.diagnostics();
  };
  const Names trunk{"trunk.0.bias", "trunk.0.weight", "trunk.2.bias", "trunk.2.weight"};
  const auto sorted = [](Names names) {
    std::sort(names.begin(), names.end());
    return names;
  };
  SECTION("the last shared layer") {
    Calibration calibration(fuller::IMTL_G(), task_names(3));
    CHECK((calibration.diagnostics().route == Route::none));
    CHECK(calibration.diagnostics().surface.empty());
    const Diagnostics seen = step_of(calibration);
    CHECK((seen.route == Route::fork));
    CHECK((seen.compared == Surface::last_shared));
    REQUIRE(seen.surface.size() == 1);
    CHECK(seen.surface[0].name == "trunk.2.weight");
    CHECK(seen.surface[0].shape == Shape{10, 12});
    CHECK(sorted(names_of(seen.shared)) == trunk);
    CHECK(seen.untrained.empty());
    CHECK(seen.passes == 3);
    CHECK(seen.bytes_kept == 3 * 10 * 12 * 4);
    CHECK_FALSE(seen.summed);
    CHECK(seen.one_more.empty());  // a pass trains in any case
    CHECK(seen.policy.empty());
  }
  SECTION("named") {
    Calibration calibration(fuller::IMTL_G(), task_names(3));
    calibration.name_parameters(net.trunk->named_parameters());
    const auto z = calibration.fork<3>(net.features(x).front(), {net.trunk->parameters()[0], net.trunk->parameters()[3]});
    calibration.sum({net.loss(0, {z[0]}), net.loss(1, {z[1]}), net.loss(2, {z[2]})}).backward();
    CHECK(names_of(calibration.diagnostics().surface) == Names{"0.weight", "2.bias"});
  }
  SECTION("the representation") {
    CalibrationOptions options;
    options.surface = Surface::representation;
    Calibration calibration(fuller::IMTL_G(), task_names(3), options);
    const Diagnostics seen = step_of(calibration);
    REQUIRE(seen.surface.size() == 1);
    CHECK(seen.surface[0].shape == Shape{24, 10});
    CHECK(sorted(names_of(seen.shared)) == trunk);
    CHECK(seen.passes == 0);
    CHECK(seen.bytes_kept == 0);
  }
  SECTION("all shared parameters") {
    CalibrationOptions options;
    options.surface = Surface::all_shared;
    options.apply_to = ApplyTo::all;
    Calibration calibration(fuller::IMTL_G(), task_names(3), options);
    const std::int64_t numbers = 6 * 12 + 12 + 12 * 10 + 10;
    Diagnostics seen = step_of(calibration);
    CHECK((seen.route == Route::fork));
    CHECK(sorted(names_of(seen.surface)) == trunk);
    CHECK(seen.passes == 3);
    CHECK(seen.summed);
    CHECK(seen.bytes_kept == 3 * numbers * 4);
    calibration.sum(plain_losses(net, x)).backward();
    seen = calibration.diagnostics();
    CHECK((seen.route == Route::sum));
    CHECK(sorted(names_of(seen.surface)) == trunk);
    CHECK(sorted(names_of(seen.shared)) == trunk);
    CHECK(seen.passes == 3);
    CHECK(seen.summed);
    const std::int64_t of_heads = 10 * 5 + 5 + 5 + 1;  // one head's, of which each pass forms its own task's
    CHECK(seen.bytes_kept == 3 * (numbers + of_heads) * 4);
  }
  SECTION("a rule that compares nothing") {
    Calibration calibration(fuller::Uniform(), task_names(3));
    const Diagnostics seen = step_of(calibration);
    CHECK((seen.route == Route::fork));
    CHECK(seen.surface.empty());
    CHECK(sorted(names_of(seen.shared)) == trunk);
    CHECK(seen.passes == 0);
  }
  SECTION("a wide layer on few rows keeps nothing") {
    Network wide = wide_network(2);
    Calibration calibration(fuller::IMTL_G(), {"a", "b"});
    calibrated_loss(calibration, wide, wide.input(2)).backward();
    const Diagnostics seen = calibration.diagnostics();
    REQUIRE(seen.surface.size() == 1);
    CHECK(seen.surface[0].name.empty());
    CHECK(seen.surface[0].shape == Shape{64, 48});
    CHECK(seen.passes == 2);                   // through the activation after the layer
    CHECK(seen.bytes_kept == 2 * 4 * 64 * 8);  // whose cotangents are kept, and no weight gradient
  }
  SECTION("a frozen last layer") {
    for (Tensor& parameter : net.last) {
      parameter.set_requires_grad(false);
    }
    Calibration calibration(fuller::IMTL_G(), task_names(3));
    const Diagnostics seen = step_of(calibration);
    CHECK(names_of(seen.surface) == Names{"trunk.0.weight"});
    CHECK(names_of(seen.untrained) == Names{"trunk.2.weight"});
    CHECK(seen.untrained[0].shape == Shape{10, 12});
    CHECK(contains(calibration.describe(), "passed, since not trained: 'trunk.2.weight' [10, 12]"));
    Network conv = conv_network(3);
    conv.last[0].set_requires_grad(false);
    Calibration of_convolutions(fuller::IMTL_G(), task_names(3));
    calibrated_loss(of_convolutions, conv, conv.input(1)).backward();
    CHECK(of_convolutions.diagnostics().untrained[0].shape == Shape{6, 6, 3, 3});
  }
  SECTION("policies that acted") {
    Calibration calibration(fuller::IMTL_G(), task_names(3));
    calibrated_gradients(calibration, net, x, {0, 1, 0});
    CHECK(calibration.diagnostics().policy == "Missing::hold: 't1' is alone");
    const auto z = calibration.fork<3>(net.features(x).front());
    calibration.sum({net.loss(0, {z[0]}), net.loss(1, {z[1]}) * 0, net.loss(2, {z[2]})}).backward();
    CHECK(calibration.diagnostics().policy == "zero gradient: 't1' is left out of the rule");
  }
  SECTION("for a human, and in a snapshot") {
    Calibration calibration(fuller::IMTL_G(), task_names(3));
    CHECK(contains(calibration.describe(), "no step yet"));
    step_of(calibration);
    const std::string text = calibration.describe();
    INFO(text);
    CHECK(contains(text, "IMTL-G"));
    CHECK(contains(text, "compares the last shared layer: 'trunk.2.weight' [10, 12]"));
    CHECK(contains(text, "shared (4): "));
    CHECK(contains(text, "3 passes for task gradients, 1440 bytes kept"));
    CHECK(contains(text, "t2"));
    CHECK(calibration.snapshot().diagnostics().surface[0].name == "trunk.2.weight");
  }
  SECTION("parameters are not kept alive, and a new one does not take a name over") {
    Calibration calibration(fuller::IMTL_G(), task_names(3));
    step_of(calibration);
    net = linear_network(3, torch::kFloat);
    CHECK(calibration.diagnostics().surface.empty());
    calibrated_loss(calibration, net, x).backward();
    CHECK(names_of(calibration.diagnostics().surface) == Names{""});
  }
}

TEST_CASE("Losses by name, in any order and from any container") {
  Network net = linear_network(3);
  const Tensor x = net.input(52);
  const auto run = [&](const auto& summed) {
    Calibration calibration(fuller::IMTL_G(), {"box", "class", "mask"});
    clear(net.parameters());
    const auto z = calibration.fork<3>(net.features(x).front());
    summed(calibration, Tensors{net.loss(0, {z[0]}), net.loss(1, {z[1]}), net.loss(2, {z[2]})}).backward();
    return gradients_of(net.parameters());
  };
  const Tensors in_order = run([](Calibration& by, const Tensors& l) { return by.sum({l[0], l[1], l[2]}); });
  CHECK(difference(in_order, expected_gradients(net, x, imtl_g(gram_at(plain_losses(net, x), net.last)))) < 1e-12);
  CHECK(equal(run([](Calibration& by, const Tensors& l) {
                return by.sum({{"mask", l[2]}, {"box", l[0]}, {"class", l[1]}});
              }),
              in_order));
  CHECK(equal(run([](Calibration& by, const Tensors& l) {
                return by.sum(std::map<std::string, Tensor>{{"mask", l[2]}, {"box", l[0]}, {"class", l[1]}});
              }),
              in_order));
  CHECK(equal(run([](Calibration& by, const Tensors& l) {
                return by.sum(std::unordered_map<std::string, Tensor>{{"mask", l[2]}, {"box", l[0]}, {"class", l[1]}});
              }),
              in_order));
  CHECK(equal(run([](Calibration& by, const Tensors& l) {
                torch::OrderedDict<std::string, Tensor> losses;
                losses.insert("mask", l[2]);
                losses.insert("box", l[0]);
                losses.insert("class", l[1]);
                return by.sum(losses);
              }),
              in_order));
  CHECK(equal(run([](Calibration& by, const Tensors& l) {
                const std::vector<std::pair<std::string, Tensor>> losses{{"class", l[1]}, {"mask", l[2]}, {"box", l[0]}};
                return by.sum(losses);
              }),
              in_order));
  // Two losses, in the order of the tasks and by name; one; one that is not there.
  const Tensors two = run([](Calibration& by, const Tensors& l) { return by.sum({l[0], Tensor(), l[2]}); });
  CHECK(equal(run([](Calibration& by, const Tensors& l) { return by.sum({{"mask", l[2]}, {"box", l[0]}}); }), two));
  CHECK(equal(run([](Calibration& by, const Tensors& l) {
                return by.sum({{"mask", l[2]}, {"class", Tensor()}, {"box", l[0]}});
              }),
              two));
  Calibration one(fuller::Uniform(), {"box"});
  Linear layer(2, 1);
  CHECK(one.sum({{"box", one.fork<1>(layer(torch::ones({1, 2})))[0].sum()}}).requires_grad());
  Calibration calibration(fuller::IMTL_G(), {"box", "class"});
  const Tensor loss = torch::ones({});
  const std::string unknown = thrown_by([&] { calibration.sum({{"box", loss}, {"klass", loss}}); });
  CHECK(contains(unknown, "'klass'; there are 'box', 'class'"));
  const std::string twice = thrown_by([&] { calibration.sum({{"box", loss}, {"box", loss}}); });
  CHECK(contains(twice, "two losses for 'box'"));
  CHECK(contains(twice, "'box', 'class'"));
  CHECK(contains(thrown_by([&] { calibration.sum(std::map<std::string, Tensor>{{"nobody", Tensor()}}); }), "'nobody'"));
}

TEST_CASE("Several tensors under fork(): a mean and a variance, for tasks known when compiling or not") {
  torch::manual_seed(53);
  Linear trunk(5, 6);
  Linear mean(6, 4);
  Linear log_variance(6, 4);
  Linear decoder(4, 3);
  Tensors shared;
  for (const auto& module : std::vector<std::shared_ptr<Module>>{trunk.ptr(), mean.ptr(), log_variance.ptr(), decoder.ptr()}) {
    module->to(torch::kDouble);
  }
  for (const auto& layer : {trunk, mean, log_variance}) {
    append(shared, layer->parameters());
  }
  const Tensor x = torch::randn({7, 5}, torch::kDouble);
  const Tensor noise = torch::randn({7, 4}, torch::kDouble);
  const auto losses_of = [&](const Tensors& a, const Tensors& b) {
    const Tensor latent = a[0] + noise * torch::exp(0.5 * a[1]);
    return Tensors{10 * decoder(latent).pow(2).mean(), -0.5 * (1 + b[1] - b[0].pow(2) - b[1].exp()).mean()};
  };
  const auto levels = [&] {
    const Tensor h = torch::tanh(trunk(x));
    return Tensors{mean(h), log_variance(h)};
  };
  const Tensors plain = levels();
  const Tensors losses = losses_of(plain, plain);
  const Tensors expected = weighted_gradients(losses, shared, {decoder->parameters(), {}},
                                              imtl_g(gram_at(losses, {mean->weight, log_variance->weight})));
  Tensors parameters = shared;
  append(parameters, decoder->parameters());
  Calibration calibration(fuller::IMTL_G(), {"reconstruction", "divergence"});
  for (const bool known : {true, false}) {
    clear(parameters);
    const Tensors in = levels();
    if (known) {
      const auto [a, b] = calibration.fork<2>({in[0], in[1]});
      calibration.sum(losses_of(a, b)).backward();
    } else {
      const auto of_task = calibration.fork({in[0], in[1]});
      calibration.sum(losses_of(of_task[0], of_task[1])).backward();
    }
    CHECK(difference(gradients_of(parameters), expected) < 1e-12);
  }
  CHECK(calibration.diagnostics().surface.size() == 2);
  const Tensor z = mean(torch::tanh(trunk(x)));
  CHECK(contains(thrown_by([&] { calibration.fork<3>({z, z}); }), "fork<3>"));
  CHECK(contains(thrown_by([&] { calibration.fork_levels({}); }), "no tensor"));
  // Names that would not be compared.
  const auto h = calibration.fork<2>(z, {mean->weight, decoder->weight});
  calibration.name_parameters(decoder->named_parameters(), "decoder.");
  const std::string elsewhere = thrown_by([&] { calibration.sum({h[0].sin().sum(), h[1].sum()}); });
  CHECK(contains(elsewhere, "'decoder.weight' of shape [3, 4] given to fork() is not upstream"));
  CalibrationOptions options;
  options.surface = Surface::representation;
  Calibration by_representation(fuller::IMTL_G(), {"a", "b"}, options);
  CHECK(contains(thrown_by([&] { by_representation.fork<2>(z, {mean->weight}); }), "compares the gradients of z itself"));
  // One tensor in braces is one tensor.
  const std::array<Tensor, 2> single = calibration.fork<2>({z});
  CHECK(single[0].sizes() == z.sizes());
}

TEST_CASE("Heads that change from step to step are seen: other layers, other parameters in the same graph, frozen ones") {
  for (const Surface surface : {Surface::last_shared, Surface::all_shared}) {
    Network net = linear_network(2);
    const Network first = net;
    CalibrationOptions options;
    options.surface = surface;
    options.apply_to = ApplyTo::all;
    Calibration calibration(fuller::IMTL_G(), task_names(2), options);
    const auto heads_of_step = [&](int step) {
      net.heads = first.heads;
      if (step == 1) {  // another graph
        net.heads[0][0] = Sequential(Linear(10, 5), Tanh(), Linear(5, 5), Tanh(), Linear(5, 1));
        net.heads[0][0]->to(torch::kDouble);
      } else if (step == 2) {  // a graph like the first step's, which leads elsewhere
        net.heads[1][0] = Sequential(Linear(10, 5), Tanh(), Linear(5, 1));
        net.heads[1][0]->to(torch::kDouble);
      } else if (step == 4) {  // the other way round
        std::swap(net.heads[0], net.heads[1]);
      }
      first.heads[0][0]->parameters()[0].set_requires_grad(step != 3);
    };
    for (int step = 0; step < 6; ++step) {
      INFO("surface " << static_cast<int>(surface) << ", step " << step);
      heads_of_step(step);
      const Tensor x = net.input(70 + step);
      const Tensors losses = plain_losses(net, x);
      std::vector<Tensors> of_heads(2);
      for (int i = 0; i < 2; ++i) {
        for (const Tensor& parameter : net.head_parameters(i)) {
          if (parameter.requires_grad()) {
            of_heads[static_cast<std::size_t>(i)].push_back(parameter);
          }
        }
      }
      const Weights weights = imtl_g(gram_at(losses, surface == Surface::all_shared ? net.shared_parameters() : net.last));
      const Tensors expected = weighted_gradients(losses, net.shared_parameters(), of_heads, weights);
      Tensors trained = net.shared_parameters();
      append(trained, of_heads[0]);
      append(trained, of_heads[1]);
      clear(first.parameters());
      clear(net.parameters());
      calibrated_loss(calibration, net, x).backward();
      CHECK(largest_difference(calibration.diagnostics().weights, weights.shared) < 1e-12);
      CHECK(difference(gradients_of(trained), expected) < 1e-12);
    }
    // One that the other head trains as well now: refused, though nothing of the graph's shape has changed.
    net.heads = first.heads;
    net.heads[1][0] = Sequential(net.heads[0][0]->ptr<LinearImpl>(0), Tanh(), first.heads[1][0]->ptr<LinearImpl>(2));
    const Tensor x = net.input(80);
    const std::string said = thrown_by([&] { calibrated_loss(calibration, net, x); });
    CHECK(contains(said, "is shared by 't0' and 't1'") == (surface == Surface::last_shared));
  }
}
