// SPDX-License-Identifier: Apache-2.0
// Which layer is the last shared one: diamonds downstream of one layer, weights made of several parameters, and what stays
// refused until it is named. The oracle is a plain pass for each loss.
#include <cmath>
#include <functional>
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
using fuller::Calibration;
using fuller::CalibrationOptions;

namespace {

using Build = std::function<Tensor()>;

const auto wide = torch::TensorOptions(torch::kDouble);

template <class... Modules>
Tensors in_double(const Modules&... modules) {
  Tensors all;
  for (const std::shared_ptr<Module>& module : std::vector<std::shared_ptr<Module>>{modules.ptr()...}) {
    module->to(torch::kDouble);
    append(all, module->parameters());
  }
  return all;
}

Tensors losses_of(const Tensor& a, const Tensor& b) { return {a.sin().sum(), 3 * b.pow(2).mean() + b.sum()}; }

/// All numbers in one row: what is zero but for rounding (the shift of what a norm follows) is then not compared with itself.
Tensors in_one_row(const Tensors& gradients) {
  Tensors rows;
  for (const Tensor& gradient : gradients) {
    rows.push_back(gradient.reshape({-1}));
  }
  return {torch::cat(rows)};
}

/// The calibrated step against gradients of `surface`: what was compared, and every gradient that is left.
void expect_surface(const char* what, const Tensors& surface, const Tensors& parameters, const Build& build,
                    const Tensors& named = {}, CalibrationOptions options = {}) {
  INFO(what);
  const Tensor plain = build();
  const Tensors losses = losses_of(plain, plain);
  const Eigen::MatrixXd M = gram_at(losses, surface);
  const Tensors expected = weighted_gradients(losses, parameters, {{}, {}}, imtl_g(M));
  Calibration calibration(fuller::IMTL_G(), {"a", "b"}, options);
  clear(parameters);
  const auto z = calibration.fork<2>(build(), named);
  calibration.sum(losses_of(z[0], z[1])).backward();
  const Eigen::VectorXd norms = M.diagonal().cwiseSqrt();
  const std::vector<double> seen = calibration.diagnostics().norms;
  REQUIRE(seen.size() == 2);
  CHECK(std::abs(seen[0] / norms[0] - 1) < 1e-12);
  CHECK(std::abs(seen[1] / norms[1] - 1) < 1e-12);
  CHECK(difference(in_one_row(gradients_of(parameters)), in_one_row(expected)) < 1e-12);
}

/// Refused, with these words; and exact once `named` says which parameters are meant.
void expect_refused(const char* what, const std::vector<std::string>& words, const Tensors& named, const Tensors& parameters,
                    const Build& build) {
  INFO(what);
  Calibration calibration(fuller::IMTL_G(), {"a", "b"});
  const std::string said = thrown_by([&] { calibration.fork(build()); });
  INFO(said);
  CHECK(contains(said, "name its parameters, fork(z, {layer->weight})"));
  for (const std::string& word : words) {
    CHECK(contains(said, word));
  }
  expect_surface(what, named, parameters, build, named);
}

}  // namespace

TEST_CASE("A diamond downstream of one layer is that layer's") {
  torch::manual_seed(31);
  Linear first(5, 6);
  Linear last(6, 8);
  LayerNorm norm(LayerNormOptions({8}));
  const Tensors parameters = in_double(first, last, norm);
  const Tensors surface{last->weight};
  const Tensor x = torch::randn({7, 5}, wide);
  const auto output = [&] { return last(torch::tanh(first(x))); };
  const auto check = [&](const char* what, const std::function<Tensor(const Tensor&)>& build) {
    expect_surface(what, surface, parameters, [&] { return build(output()); });
  };
  check("swish written out", [](const Tensor& y) { return y * torch::sigmoid(y); });
  check("normalised", [](const Tensor& y) { return torch::nn::functional::normalize(y); });
  check("a sum of it and its activation", [](const Tensor& y) { return y + torch::tanh(y); });
  check("joined with its activation", [](const Tensor& y) { return torch::cat({y, torch::relu(y)}, 1); });
  check("a GLU by chunk", [](const Tensor& y) {
    const auto halves = y.chunk(2, 1);
    return halves[0] * torch::sigmoid(halves[1]);
  });
  check("a GLU by chunk and cat", [](const Tensor& y) {
    const auto halves = y.chunk(2, 1);
    return torch::cat({halves[0] * torch::sigmoid(halves[1]), halves[1]}, 1);
  });
  check("a maximum of halves", [](const Tensor& y) { return torch::maximum(y.slice(1, 0, 4), y.slice(1, 4)); });
  check("attention without weights", [](const Tensor& y) { return torch::softmax(y.mm(y.t()), 1).mm(y); });
  check("two in a row", [](const Tensor& y) {
    const Tensor s = y * torch::sigmoid(y);
    return torch::nn::functional::normalize(s.relu() + s);
  });
  check("one in another", [](const Tensor& y) { return y * torch::sigmoid(y + y.tanh() * y.mean()); });
  check("and a norm", [&](const Tensor& y) { return norm(y * torch::sigmoid(y)); });
  check("and a norm before", [&](const Tensor& y) {
    const Tensor n = norm(y);
    return n * torch::sigmoid(n);
  });
  const Tensor token = torch::randn({1, 8}, torch::dtype(torch::kDouble).requires_grad(true));
  expect_surface("a token made of two parameters beside it", surface, parameters, [&] {
    const Tensor out = output();
    return torch::cat({token * token.sin(), out * torch::sigmoid(out)});
  });
  CalibrationOptions with_bias;
  with_bias.last_shared_bias = true;
  expect_surface(
      "with its bias", {last->weight, last->bias}, parameters, [&] { return output() * torch::sigmoid(output()).detach() * 2; },
      {}, with_bias);
  expect_surface(
      "with its bias, in a diamond", {last->weight, last->bias}, parameters,
      [&] {
        const Tensor out = output();
        return out * torch::sigmoid(out);
      },
      {}, with_bias);

  Linear broad(48, 64);
  Linear before(6, 48);
  const Tensors all = in_double(broad, before);
  const Tensor rows = torch::randn({4, 6}, wide);
  expect_surface("few rows of a wide layer", {broad->weight}, all, [&] {
    const Tensor out = broad(torch::tanh(before(rows)));
    return out * torch::sigmoid(out);
  });
}

TEST_CASE("Squeeze and excite: layers that only scale the last one's output are not the last one") {
  torch::manual_seed(32);
  Conv2d first(3, 5, 3);
  Conv2d last(5, 6, 3);
  Linear squeeze(6, 2);
  Linear excite(2, 6);
  Conv2d squeeze_map(6, 2, 1);
  Conv2d excite_map(2, 6, 1);
  BatchNorm2d norm(6);
  Conv2d spatial(Conv2dOptions(2, 1, 3).padding(1));
  const Tensors parameters = in_double(first, last, squeeze, excite, squeeze_map, excite_map, norm, spatial);
  const Tensors surface{last->weight};
  const Tensor x = torch::randn({2, 3, 8, 8}, wide);
  const auto y = [&] { return last(torch::tanh(first(x))); };
  const auto scales = [&](const Tensor& pooled) { return excite(torch::relu(squeeze(pooled))); };
  const auto excited = [&](const Tensor& in) { return in * torch::sigmoid(scales(in.mean({2, 3}))).unsqueeze(2).unsqueeze(3); };
  expect_surface("of linear layers", surface, parameters, [&] { return excited(y()); });
  expect_surface("after norm and activation", surface, parameters, [&] { return excited(norm(y()).relu()).relu(); });
  expect_surface("of 1 x 1 convolutions", surface, parameters, [&] {
    const Tensor in = y();
    return in * excite_map(squeeze_map(in.mean({2, 3}, true)).relu()).sigmoid();
  });
  expect_surface("channels, then places", surface, parameters, [&] {
    const Tensor in = y();
    const Tensor c = in * torch::sigmoid(scales(in.mean({2, 3})) + scales(in.amax({2, 3}))).unsqueeze(2).unsqueeze(3);
    return c * torch::sigmoid(spatial(torch::cat({c.mean(1, true), c.amax(1, true)}, 1)));
  });
}

TEST_CASE("What has more than one last layer is refused with the layers that were reached, until one is named") {
  torch::manual_seed(33);
  Linear first(5, 8);
  Linear second(8, 8);
  Linear third(8, 8);
  Linear wider(8, 8);
  LayerNorm norm(LayerNormOptions({8}));
  const Tensors parameters = in_double(first, second, third, wider, norm);
  const Tensor x = torch::randn({6, 5}, wide);
  const Tensor c = torch::randn({6, 8}, wide);
  const Tensors named{second->weight};
  const auto h = [&] { return torch::tanh(first(x)); };
  expect_refused("a residual", {"splits at AddBackward0", "residual", "nearest first, [8, 8], [8, 5]"}, named, parameters, [&] {
    const Tensor in = h();
    return in + second(in.relu());
  });
  expect_refused("two residuals", {"residual", "[8, 8], [8, 8], [8, 5]"}, named, parameters, [&] {
    const Tensor in = h();
    const Tensor between = in + second(in.relu());
    return torch::relu(between + third(between));
  });
  expect_refused("a residual with a projection", {"outputs of several layers"}, named, parameters, [&] {
    const Tensor in = h();
    return second(in) + third(in.relu());
  });
  expect_refused("a dense connection", {"splits at CatBackward0"}, named, parameters, [&] {
    const Tensor in = h();
    return torch::cat({in, second(in)}, 1);
  });
  expect_refused("two towers", {"splits at CatBackward0"}, named, parameters, [&] {
    return torch::cat({first(x), second(c)}, 1);
  });
  expect_refused("a gated unit of two layers", {"outputs of several layers"}, named, parameters, [&] {
    const Tensor in = h();
    return second(in) * torch::sigmoid(third(in));
  });
  expect_refused("scales from other data", {"splits at MulBackward0"}, named, parameters, [&] { return first(x) * second(c); });
  expect_refused("scales from deeper data", {"splits at MulBackward0"}, named, parameters,
                 [&] { return first(x) * second(torch::relu(third(c))) * 2; });
  expect_refused("a gate that reads the layer's input", {"joins, at MulBackward0"}, named, parameters, [&] {
    const Tensor in = h();
    return second(in) * torch::sigmoid(in);
  });
  expect_refused("a factor without a bound: rectified", {"splits at MulBackward0"}, named, parameters, [&] {
    const Tensor y = second(h());
    return y * third(y).clamp_min(0);
  });
  expect_refused("a factor without a bound: log-softmax", {"splits at MulBackward0"}, named, parameters, [&] {
    const Tensor y = second(h());
    return y * torch::log_softmax(third(y), 1);
  });
  expect_refused("a factor without a bound: log-sigmoid", {"splits at MulBackward0"}, named, parameters, [&] {
    const Tensor y = second(h());
    return y * torch::log_sigmoid(third(y));
  });
  expect_refused("a highway", {"joins, at AddBackward0"}, named, parameters, [&] {
    const Tensor in = h();
    const Tensor share = torch::sigmoid(third(in));
    return share * second(in) + (1 - share) * in;
  });
  expect_refused("scale and shift", {"joins, at AddBackward0"}, named, parameters, [&] {
    const Tensor in = second(h());
    return in * torch::sigmoid(third(in.mean(0, true))) + wider(in.mean(0, true));
  });
  expect_refused("a gate with a residual inside", {"joins, at AddBackward0"}, {first->weight}, parameters, [&] {
    const Tensor in = h();
    return in * torch::sigmoid(in.mean(0, true) + second(in.mean(0, true)));
  });
  std::vector<Linear> layers;
  Tensors of_blocks = parameters;
  for (int k = 0; k < 10; ++k) {
    layers.emplace_back(8, 8);
    append(of_blocks, in_double(layers.back()));
  }
  expect_refused("a transformer's blocks", {"splits at AddBackward0", " and 3 more"}, {layers[9]->weight}, of_blocks, [&] {
    Tensor in = h();
    for (std::size_t k = 0; k < 10; k += 5) {
      const Tensor attention = torch::softmax(layers[k](in).mm(layers[k + 1](in).t()), 1).mm(layers[k + 2](in));
      in = norm(in + attention);
      in = norm(in + layers[k + 4](torch::relu(layers[k + 3](in))));
    }
    return in;
  });
  LSTM lstm(LSTMOptions(5, 4).num_layers(2));
  const Tensors cells = in_double(lstm);
  const Tensor sequence = torch::randn({3, 2, 5}, wide);
  expect_refused("an LSTM", {"named_parameters()[\"weight_hh_l1\"]", "[16, 4]"}, {lstm->named_parameters()["weight_hh_l1"]},
                 cells, [&] { return std::get<0>(lstm(sequence)); });
  Calibration calibration(fuller::IMTL_G(), {"a", "b"});
  CHECK(contains(thrown_by([&] { calibration.fork(x.clone().set_requires_grad(true) * 2); }), "shared"));
}

TEST_CASE("A weight made of several parameters: all of them are the layer's") {
  torch::manual_seed(34);
  const auto trained = torch::TensorOptions(torch::kDouble).requires_grad(true);
  Linear first(5, 6);
  const Tensors of_first = in_double(first);
  const Tensor data = torch::randn({7, 6}, wide);
  const Tensor x = torch::randn({7, 5}, wide);
  const Tensor frozen = torch::randn({8, 6}, wide);
  const Tensor W = torch::randn({8, 6}, trained);
  const Tensor A = torch::randn({8, 2}, trained);
  const Tensor B = torch::randn({2, 6}, trained);
  const Tensor bias = torch::randn({8}, trained);
  const Tensor g = torch::rand({8, 1}, trained);
  Tensors all{W, A, B, bias, g};
  append(all, of_first);
  for (const bool is_data : {true, false}) {
    INFO("on data " << is_data);
    const auto in = [&] { return is_data ? data : torch::tanh(first(x)); };
    expect_surface("a low-rank part beside a frozen weight", {A, B}, all,
                   [&] { return torch::linear(in(), frozen + A.mm(B), bias); });
    expect_surface("scaled, without a bias", {A, B}, all, [&] { return torch::linear(in(), frozen + 0.5 * A.mm(B)).tanh(); });
    expect_surface("beside a trained weight", {W, A, B}, all, [&] { return torch::linear(in(), W + A.mm(B), bias); });
    expect_surface("length and direction", {W, g}, all,
                   [&] { return torch::linear(in(), g * W / W.norm(2, {1}, /*keepdim=*/true), bias); });
    expect_surface("a mask on a weight", {W}, all, [&] { return torch::linear(in(), W * (frozen > 0).to(torch::kDouble)); });
    expect_surface("in a diamond", {A, B}, all, [&] {
      const Tensor y = torch::linear(in(), frozen + A.mm(B), bias);
      return y * torch::sigmoid(y);
    });
  }
  CalibrationOptions with_bias;
  with_bias.last_shared_bias = true;
  expect_surface(
      "with its bias", {A, B, bias}, all, [&] { return torch::linear(data, frozen + A.mm(B), bias); }, {}, with_bias);
  expect_surface(
      "what is added after an activation is no bias of the layer", {W}, {W, bias},
      [&] { return torch::tanh(data.mm(W.t())) + bias; }, {}, with_bias);
  expect_surface("a weight named twice counts once", {W}, {W}, [&] { return data.mm(W.t()); }, {W, W});
  const Tensor kernel_a = torch::randn({4, 3}, trained);
  const Tensor kernel_b = torch::randn({3, 27}, trained);
  const Tensor image = torch::randn({2, 3, 6, 6}, wide);
  expect_surface("a convolution's", {kernel_a, kernel_b}, {kernel_a, kernel_b}, [&] {
    return torch::conv2d(image, torch::randn({4, 3, 3, 3}, wide).zero_() + kernel_a.mm(kernel_b).reshape({4, 3, 3, 3}));
  });

  // A matrix of data times features is no weight made of parameters.
  const Tensor graph = torch::rand({7, 7}, wide);
  expect_surface("neighbours' features", {W}, {W}, [&] { return graph.mm(torch::relu(graph.mm(data.mm(W.t())))); });
  expect_surface("rows looked up", {W}, {W}, [&] {
    return graph.slice(1, 0, 3).mm(W.index_select(0, torch::tensor({1, 5, 5})));
  });
}

TEST_CASE("A layer that is frozen is passed for the last one that is trained") {
  torch::manual_seed(35);
  Linear first(5, 6);
  Linear last(6, 8);
  in_double(first, last);
  const Tensor x = torch::randn({7, 5}, wide);
  last->weight.set_requires_grad(false);
  const auto build = [&] { return last(torch::tanh(first(x))); };
  expect_surface("the weight alone frozen", {first->weight}, {first->weight, first->bias, last->bias}, build);
  last->bias.set_requires_grad(false);
  expect_surface("weight and bias frozen", {first->weight}, {first->weight, first->bias}, build);
  // Nothing but a norm is trained.
  BatchNorm1d norm(8);
  const Tensors of_norm = in_double(norm);
  first->weight.set_requires_grad(false);
  first->bias.set_requires_grad(false);
  expect_refused("a norm after frozen layers", {"ends at", "nearest first, [8]"}, {norm->weight}, of_norm,
                 [&] { return norm(build()); });
}
