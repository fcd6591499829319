// SPDX-License-Identifier: Apache-2.0
// What a device's steps write into gradients, against what is to be there by hand: of heads in every form, of two calibrations
// in one backward, and of all that is shared, compared layer by layer.
#include <vector>

#include <torch/torch.h>

#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/device_ways.hpp"
#include "support/multi_backward.hpp"

using namespace fuller::testing;
using fuller::Calibration;
using fuller::CalibrationOptions;

TEST_CASE("Heads' gradients on a device: views of one storage, sparse ones, halves", "[cuda]") {
  const Way way = GENERATE(Way::kernels, Way::host_rule);
  const Tensor z = torch::ones({6}, torch::kDouble).set_requires_grad(true);
  const Tensor a = torch::randn({6}, torch::kDouble).set_requires_grad(true);
  const Tensor b = torch::randn({2, 3}, torch::kDouble).set_requires_grad(true);
  const Tensor c = torch::randn({6}, torch::kDouble);
  const Tensor small = torch::ones({6}, torch::kHalf).set_requires_grad(true);
  torch::nn::Embedding embedding(torch::nn::EmbeddingOptions(5, 6).sparse(true));
  embedding->to(torch::kDouble);
  Calibration calibration(fuller::Constant({2, 3}), {"a", "b"});
  calibration.use(steps_by(way));
  for (int step = 1; step <= 2; ++step) {
    const auto v = calibration.fork<2>(z * 1.0);
    const Tensor rows = embedding(torch::tensor({1, 3, 3}));
    calibration.sum({((a + b.view({6}) + v[0]) * c).sum(), (rows * v[1]).sum() + small.sum().to(torch::kDouble)}).backward();
    CHECK(difference({a.grad()}, {2.0 * step * c}) < 1e-14);
    CHECK(difference({b.grad()}, {2.0 * step * c.view({2, 3})}) < 1e-14);
    CHECK(small.grad().equal(torch::full({6}, 3.0 * step, torch::kHalf)));
    Tensor dense = torch::zeros({5, 6}, torch::kDouble);
    dense[1] = 3.0 * step;
    dense[3] = 6.0 * step;
    CHECK(embedding->weight.grad().is_sparse());
    CHECK(difference({embedding->weight.grad()}, {dense}) < 1e-14);
  }
}

TEST_CASE("Two calibrations on a device in one backward weight what it adds, and nothing that was there", "[cuda]") {
  const Way way = GENERATE(Way::kernels, Way::host_rule);
  const bool nested = GENERATE(true, false);
  Network first = conv_network(2);
  torch::manual_seed(23);
  torch::nn::Conv2d inner(torch::nn::Conv2dOptions(first.features(first.input(1)).front().size(1), 3, 1));
  std::vector<torch::nn::Conv2d> heads{torch::nn::Conv2d(3, 1, 1), torch::nn::Conv2d(3, 2, 1)};
  Tensors parameters = first.parameters();
  for (auto layer : {inner, heads[0], heads[1]}) {
    layer->to(torch::kDouble);
    append(parameters, layer->parameters());
  }
  Calibration a(fuller::Constant({2, 3}), {"one", "rest"});
  Calibration b(fuller::Constant({5, 7}), {"two", "three"});
  a.use(steps_by(way));
  b.use(steps_by(way));
  const auto loss = [&](std::size_t i, const Tensor& y) { return torch::tanh(heads[i](y)).sum(); };
  const Tensor x = first.input(1);
  const Tensor z = first.features(x).front();
  const Tensor y = torch::tanh(inner(nested ? z : z.detach()));
  const Tensor second = 5 * loss(0, y) + 7 * loss(1, y);
  const Tensor plain = nested ? 2 * first.loss(0, {z}) + 3 * second : 2 * first.loss(0, {z}) + 3 * first.loss(1, {z}) + second;
  Tensors once = gradient_of(plain, parameters);
  for (int count = 1; count <= 3; ++count) {
    const Tensor features = first.features(x).front();
    const auto v = a.fork<2>(features);
    const auto w = b.fork<2>(torch::tanh(inner(nested ? v[1] : features.detach())));
    const Tensor of_b = b.sum({loss(0, w[0]), loss(1, w[1])});
    const Tensor total =
        nested ? a.sum({first.loss(0, {v[0]}), of_b}) : a.sum({first.loss(0, {v[0]}), first.loss(1, {v[1]})}) + of_b;
    total.backward();
    Tensors expected;
    for (const Tensor& gradient : once) {
      expected.push_back(count * gradient);
    }
    CHECK(difference(gradients_of(parameters), expected) < 1e-12);
  }
}

TEST_CASE("All shared parameters compared layer by layer on a device: the weights and gradients of whole task gradients",
          "[cuda]") {
  const Way way = GENERATE(Way::kernels, Way::host_rule);
  CalibrationOptions options;
  options.surface = fuller::Surface::all_shared;
  Network net = conv_network(3);
  const Tensor x = net.input(6);
  Calibration host(fuller::IMTL_G(), task_names(3), options);
  const Tensors expected = calibrated_gradients(host, net, x);
  options.memory = fuller::TaskMemory::layer_by_layer;
  Calibration calibration(fuller::IMTL_G(), task_names(3), options);
  calibration.use(steps_by(way));
  CHECK(difference(calibrated_gradients(calibration, net, x), expected) < 1e-9);
  CHECK(difference_of(calibration.diagnostics().weights, host.diagnostics().weights) < 1e-9);
  CHECK(difference_of(calibration.diagnostics().cosines, host.diagnostics().cosines) < 1e-9);
}
