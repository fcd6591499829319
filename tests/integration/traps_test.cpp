// SPDX-License-Identifier: Apache-2.0
// What autograd does unseen: aliased cotangents, layouts, hooks, accumulation, exceptions, overlapping steps.
#include <array>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/torch.h>

#include <fuller/fuller.hpp>

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

/// Hands the same gradient tensor back whoever asks.
struct SharesGradient : torch::autograd::Function<SharesGradient> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x, const Tensor& gradient) {
    context->saved_data["gradient"] = gradient;
    return x.sum();
  }
  static Tensors backward(torch::autograd::AutogradContext* context, const Tensors&) {
    return {context->saved_data["gradient"].toTensor(), Tensor()};
  }
};

/// IMTL-G's gradients of a network of three tasks.
Tensors expected_of(Network& net, const Tensor& x) {
  return expected_gradients(net, x, imtl_g(gram_at(plain_losses(net, x), net.last)));
}

Tensors times(const Tensors& tensors, double factor) {
  Tensors out;
  for (const Tensor& tensor : tensors) {
    out.push_back(tensor * factor);
  }
  return out;
}

Tensors sum_of(const Tensors& a, const Tensors& b) {
  Tensors out;
  for (std::size_t i = 0; i < a.size(); ++i) {
    out.push_back(a[i] + b[i]);
  }
  return out;
}

}  // namespace

TEST_CASE("Cotangents that are one tensor, or expanded from one number, are not written to") {
  const Tensor z = torch::ones({4}, torch::kDouble).set_requires_grad(true);
  const Tensor c = torch::tensor({1.0, 2.0, 3.0, 4.0}, torch::kDouble);
  Calibration calibration(fuller::Constant({2, 3}), {"a", "b"});
  {
    const auto v = calibration.fork<2>(z * 1.0);
    calibration.sum({SharesGradient::apply(v[0], c), SharesGradient::apply(v[1], c)}).backward();
    CHECK(z.grad()[3].item<double>() == 20);  // 2 * 4 + 3 * 4; scaling in place would give 32
    CHECK(c[3].item<double>() == 4);
  }
  z.mutable_grad() = Tensor();
  {
    const auto v = calibration.fork<2>(z * 1.0);
    calibration.sum({v[0].sum(), v[1].sum()}).backward();
    CHECK(z.grad().equal(torch::full({4}, 5.0, torch::kDouble)));
  }
  z.mutable_grad() = Tensor();
  {
    const auto v = calibration.fork<2>(z * 1.0);
    calibration.sum({v[0].sum(), v[1].pow(2).sum()}).backward();
    CHECK(z.grad().equal(torch::full({4}, 2.0 + 3.0 * 2.0, torch::kDouble)));
  }
  // The Gram matrix of expanded and shared cotangents: <c, c> = 30 throughout, so IMTL-G weighs both alike.
  CalibrationOptions options;
  options.surface = Surface::representation;
  Calibration imtl(fuller::IMTL_G(), {"a", "b"}, options);
  const auto v = imtl.fork<2>(z * 1.0);
  imtl.sum({SharesGradient::apply(v[0], c), SharesGradient::apply(v[1], c)}).backward();
  CHECK(largest_difference(imtl.diagnostics().weights, {0.5, 0.5}) < 1e-15);
  CHECK(largest_difference(imtl.diagnostics().norms, {std::sqrt(30.0), std::sqrt(30.0)}) < 1e-14);
}

TEST_CASE("Heads may read the representation in layouts of their own") {
  for (const Surface surface : {Surface::representation, Surface::last_shared, Surface::all_shared}) {
    Network net = conv_network(2);
    const Tensor x = net.input(1);
    const auto losses_of = [&](const Tensor& a, const Tensor& b) {
      return Tensors{net.loss(0, {a}), net.loss(1, {b.contiguous(at::MemoryFormat::ChannelsLast)}) + b.mean() + b[0].sum()};
    };
    const Tensors z = net.features(x);
    const Tensors losses = losses_of(z[0], z[0]);
    const Tensors at = surface == Surface::representation ? z
                       : surface == Surface::all_shared   ? net.shared_parameters()
                                                          : net.last;
    const Tensors expected = weighted_gradients(losses, net.shared_parameters(), {net.head_parameters(0), net.head_parameters(1)},
                                                imtl_g(gram_at(losses, at)));
    CalibrationOptions options;
    options.surface = surface;
    Calibration calibration(fuller::IMTL_G(), {"a", "b"}, options);
    clear(net.parameters());
    const auto v = calibration.fork<2>(net.features(x).front());
    calibration.sum(losses_of(v[0], v[1])).backward();
    CHECK(difference(gradients_of(net.parameters()), expected) < 1e-12);
  }
}

TEST_CASE("In-place operations on a fork's output are refused, since the other heads would see them") {
  Network net = conv_network(2);
  Calibration calibration(fuller::IMTL_G(), {"a", "b"});
  auto v = calibration.fork<2>(net.features(net.input(1)).front());
  CHECK_FALSE(thrown_by([&] { v[0].relu_(); }).empty());
  CHECK_FALSE(thrown_by([&] { v[1].mul_(2); }).empty());
}

TEST_CASE("A user's hook on the last shared weight acts once on the gradient that is kept") {
  Network net = conv_network(3);
  const Tensor x = net.input(1);
  Tensors expected = expected_of(net, x);
  expected[2] = expected[2] * 0.5;
  const Tensor weight = net.last.front();
  const unsigned id = weight.register_hook([](const Tensor& gradient) { return gradient * 0.5; });
  Calibration calibration(fuller::IMTL_G(), task_names(3));
  CHECK(difference(calibrated_gradients(calibration, net, x), expected) < 1e-12);
  weight.remove_hook(id);
}

TEST_CASE("Gradients accumulate: zero_grad anywhere, micro-batches, .grad keeps its storage") {
  for (const bool all_shared : {false, true}) {
    Network net = conv_network(3);
    const Tensor x = net.input(1);
    const Tensor y = net.input(2);
    const Tensors parameters = net.parameters();
    CalibrationOptions options;
    if (all_shared) {
      options.surface = Surface::all_shared;
    }
    const auto reference = [&](const Tensor& input) {
      return expected_gradients(net, input,
                                imtl_g(gram_at(plain_losses(net, input), all_shared ? net.shared_parameters() : net.last)));
    };
    const Tensors of_x = reference(x);
    const Tensors of_y = reference(y);
    Calibration calibration(fuller::IMTL_G(), task_names(3), options);
    calibrated_loss(calibration, net, x).backward();
    Tensor loss = calibrated_loss(calibration, net, y);
    clear(parameters);  // to none, between sum and backward
    loss.backward();
    CHECK(difference(gradients_of(parameters), of_y) < 1e-12);
    loss = calibrated_loss(calibration, net, x);
    std::vector<void*> storages;
    for (const Tensor& parameter : parameters) {
      parameter.mutable_grad().zero_();
      storages.push_back(parameter.grad().data_ptr());
    }
    loss.backward();
    CHECK(difference(gradients_of(parameters), of_x) < 1e-12);
    calibrated_loss(calibration, net, y).backward();
    CHECK(difference(gradients_of(parameters), sum_of(of_x, of_y)) < 1e-12);
    for (std::size_t k = 0; k < parameters.size(); ++k) {
      CHECK(parameters[k].grad().data_ptr() == storages[k]);
    }
    // A micro-batch without one task leaves what its head has gathered.
    const Tensors before = gradients_of(net.head_parameters(1));
    calibrated_loss(calibration, net, x, {1, 0, 1}).backward();
    CHECK(equal(gradients_of(net.head_parameters(1)), before));
  }
}

TEST_CASE("A backward that threw puts the heads' gradients back, and the next step is as ever") {
  Network net = conv_network(3);
  const Tensor x = net.input(1);
  const Tensors expected = expected_of(net, x);
  Calibration calibration(fuller::IMTL_G(), task_names(3));
  calibrated_loss(calibration, net, x).backward();
  const Tensors before = gradients_of(net.all_heads());
  SECTION("downstream of the fork") {
    const auto v = calibration.fork<3>(Fails::apply(net.features(x).front()), net.last);
    const Tensor loss = calibration.sum({net.loss(0, {v[0]}), net.loss(1, {v[1]}), net.loss(2, {v[2]})});
    CHECK(contains(thrown_by([&] { loss.backward(); }), "boom"));
  }
  SECTION("in a head") {
    const auto v = calibration.fork<3>(net.features(x).front());
    const Tensor loss = calibration.sum({net.loss(0, {v[0]}), net.loss(1, {Fails::apply(v[1])}), net.loss(2, {v[2]})});
    CHECK(contains(thrown_by([&] { loss.backward(); }), "boom"));
  }
  SECTION("before the heads") {
    const auto v = calibration.fork<3>(net.features(x).front());
    const Tensor loss = calibration.sum({Fails::apply(net.loss(0, {v[0]})), net.loss(1, {v[1]}), net.loss(2, {v[2]})});
    CHECK(contains(thrown_by([&] { loss.backward(); }), "boom"));
  }
  CHECK(equal(gradients_of(net.all_heads()), before));
  CHECK(difference(calibrated_gradients(calibration, net, x), expected) < 1e-12);
}

TEST_CASE("A retained graph may be walked again, a differentiable one not at all") {
  Network net = conv_network(3);
  const Tensor x = net.input(1);
  const Tensors expected = expected_of(net, x);
  for (const bool all_shared : {false, true}) {
    CalibrationOptions options;
    if (all_shared) {
      options.surface = Surface::all_shared;
    }
    Calibration calibration(fuller::Constant({1, 2, 3}), task_names(3), options);
    const Tensors once = expected_gradients(net, x, {{1, 2, 3}, {1, 2, 3}});
    clear(net.parameters());
    const Tensor loss = calibrated_loss(calibration, net, x);
    loss.backward({}, /*retain_graph=*/true);
    CHECK(difference(gradients_of(net.parameters()), once) < 1e-12);
    loss.backward();
    CHECK(difference(gradients_of(net.parameters()), times(once, 2)) < 1e-12);
    CHECK(calibration.steps() == 2);
  }
  Calibration calibration(fuller::IMTL_G(), task_names(3));
  clear(net.parameters());
  const Tensor loss = calibrated_loss(calibration, net, x);
  CHECK(contains(thrown_by([&] { loss.backward({}, true, /*create_graph=*/true); }), "create_graph"));
  CHECK(contains(thrown_by([&] { torch::autograd::grad({loss}, {net.last}, {}, true, true); }), "create_graph"));
  loss.backward();
  CHECK(difference(gradients_of(net.parameters()), expected) < 1e-12);
}

TEST_CASE("Two steps may overlap in any order") {
  Network net = conv_network(3);
  const Tensor x = net.input(1);
  const Tensor y = net.input(2);
  const Tensors expected = sum_of(expected_of(net, x), expected_of(net, y));
  Calibration calibration(fuller::IMTL_G(), task_names(3));
  clear(net.parameters());
  const auto a = calibration.fork<3>(net.features(x).front());
  const auto b = calibration.fork<3>(net.features(y).front());
  const Tensor sum_a = calibration.sum({net.loss(0, {a[0]}), net.loss(1, {a[1]}), net.loss(2, {a[2]})});
  const Tensor sum_b = calibration.sum({net.loss(0, {b[0]}), net.loss(1, {b[1]}), net.loss(2, {b[2]})});
  sum_b.backward();
  sum_a.backward();
  CHECK(difference(gradients_of(net.parameters()), expected) < 1e-12);
  // Both in one backward: each would take the other's heads for its own.
  const Tensor both = calibrated_loss(calibration, net, x) + calibrated_loss(calibration, net, y);
  CHECK(contains(thrown_by([&] { both.backward(); }), "two sums of losses"));
}

TEST_CASE("sum() once more on the same fork: the last one counts, an earlier one is refused") {
  Network net = conv_network(3);
  const Tensor x = net.input(1);
  const Tensors expected = expected_of(net, x);
  Calibration calibration(fuller::IMTL_G(), task_names(3));
  const auto v = calibration.fork<3>(net.features(x).front());
  const Tensors losses{net.loss(0, {v[0]}), net.loss(1, {v[1]}), net.loss(2, {v[2]})};
  const Tensor first = calibration.sum({losses[0], Tensor(), losses[2]});
  const Tensor second = calibration.sum(losses);
  CHECK(contains(thrown_by([&] { first.backward({}, true); }), "once more"));
  clear(net.parameters());
  second.backward();
  CHECK(difference(gradients_of(net.parameters()), expected) < 1e-12);
}

TEST_CASE("autograd::grad to trunk parameters is right and touches no .grad; to heads alone it is refused") {
  Network net = conv_network(3);
  const Tensor x = net.input(1);
  const Tensors expected = expected_of(net, x);
  Calibration calibration(fuller::IMTL_G(), task_names(3));
  calibrated_loss(calibration, net, x).backward();
  const Tensors before = gradients_of(net.parameters());
  const Tensor loss = calibrated_loss(calibration, net, x);
  const Tensors of_trunk = torch::autograd::grad({loss}, net.shared_parameters(), {}, true);
  CHECK(difference(of_trunk, Tensors(expected.begin(), expected.begin() + 4)) < 1e-12);
  CHECK(equal(gradients_of(net.parameters()), before));

  const Tensors heads = net.all_heads();
  CHECK(contains(thrown_by([&] { loss.backward({}, true, false, at::TensorList(heads)); }), "without passing fork()"));
  CHECK(equal(gradients_of(net.parameters()), before));
  // To all parameters, named as inputs, it is an ordinary step.
  clear(net.parameters());
  const Tensors all = net.parameters();
  loss.backward({}, false, false, at::TensorList(all));
  CHECK(difference(gradients_of(all), expected) < 1e-12);
}

TEST_CASE("Head gradients that lie in one storage, sparse ones, losses of shape [1]") {
  // d/da and d/db of a + b are one tensor; b's is seen through a view.
  const Tensor z = torch::ones({6}, torch::kDouble).set_requires_grad(true);
  const Tensor a = torch::randn({6}, torch::kDouble).set_requires_grad(true);
  const Tensor b = torch::randn({2, 3}, torch::kDouble).set_requires_grad(true);
  const Tensor c = torch::randn({6}, torch::kDouble);
  torch::nn::Embedding embedding(torch::nn::EmbeddingOptions(5, 6).sparse(true));
  embedding->to(torch::kDouble);
  Calibration calibration(fuller::Constant({2, 3}), {"a", "b"});
  for (int step = 1; step <= 2; ++step) {
    const auto v = calibration.fork<2>(z * 1.0);
    const Tensor rows = embedding(torch::tensor({1, 3, 3}));
    calibration.sum({((a + b.view({6}) + v[0]) * c).sum().reshape({1}), (rows * v[1]).sum()}).backward();
    CHECK(difference({a.grad()}, {2.0 * step * c}) < 1e-14);
    CHECK(difference({b.grad()}, {2.0 * step * c.view({2, 3})}) < 1e-14);
    Tensor dense = torch::zeros({5, 6}, torch::kDouble);
    dense[1] = 3.0 * step;
    dense[3] = 6.0 * step;
    CHECK(embedding->weight.grad().is_sparse());
    CHECK(difference({embedding->weight.grad()}, {dense}) < 1e-14);
  }
}

TEST_CASE("A calibration inside another's head: gradients accumulate, and are put back where a backward throws") {
  torch::manual_seed(19);
  torch::nn::Linear outer(3, 4);
  torch::nn::Linear inner(4, 4);
  std::vector<torch::nn::Linear> heads{torch::nn::Linear(4, 1), torch::nn::Linear(4, 1), torch::nn::Linear(4, 1)};
  Tensors parameters;
  for (auto layer : {outer, inner, heads[0], heads[1], heads[2]}) {
    layer->to(torch::kDouble);
    append(parameters, layer->parameters());
  }
  const Tensor x = torch::randn({5, 3}, torch::kDouble);
  Calibration a(fuller::Constant({2, 3}), {"one", "rest"});
  Calibration b(fuller::Constant({5, 7}), {"two", "three"});
  const auto loss = [&](std::size_t i, const Tensor& z) { return torch::tanh(heads[i](z)).sum(); };
  const auto calibrated = [&](bool throws) {
    const auto z = a.fork<2>(torch::tanh(outer(x)));
    const auto y = b.fork<2>(torch::tanh(inner(throws ? Fails::apply(z[1]) : z[1])));
    return a.sum({loss(0, z[0]), b.sum({loss(1, y[0]), loss(2, y[1])})});
  };
  const Tensor z = torch::tanh(outer(x));
  const Tensor y = torch::tanh(inner(z));
  const Tensors once = gradient_of(2 * loss(0, z) + 3 * (5 * loss(1, y) + 7 * loss(2, y)), parameters);
  const auto times = [&](double count) {
    Tensors gradients;
    for (const Tensor& gradient : once) {
      gradients.push_back(count * gradient);
    }
    return gradients;
  };
  for (int count = 1; count <= 3; ++count) {
    calibrated(false).backward();
    CHECK(difference(gradients_of(parameters), times(count)) < 1e-12);
  }
  CHECK(thrown_by([&] { calibrated(true).backward(); }) == "boom");
  CalibrationOptions everything;
  everything.surface = fuller::Surface::all_shared;
  Calibration outermost(fuller::IMTL_G(), {"one", "rest"}, everything);
  const Tensor shared = torch::tanh(outer(x));
  const auto w = b.fork<2>(torch::tanh(inner(shared)));
  const Tensor both = outermost.sum({loss(0, shared), b.sum({loss(1, w[0]), loss(2, w[1])})});
  const std::int64_t steps = b.steps();
  CHECK(contains(thrown_by([&] { both.backward(); }), "another calibration"));
  CHECK(b.steps() == steps);
  Tensors of_heads;
  for (auto& head : heads) {
    append(of_heads, head->parameters());
  }
  const Tensors expected = times(3);
  CHECK(difference(gradients_of(of_heads), Tensors(expected.end() - 6, expected.end())) < 1e-12);
}

TEST_CASE("Losses that the trainer changes in place after sum(), and heads that give no gradient back") {
  Network net = conv_network(2);
  const Tensor x = net.input(3);
  const auto weights = [&](bool changes) {
    Calibration calibration(fuller::DWA(), task_names(2));
    for (int step = 0; step < 4; ++step) {
      const auto v = calibration.fork<2>(net.features(x).front());
      const Tensors losses{net.loss(0, {v[0]}), net.loss(1, {v[1]})};
      const Tensor total = calibration.sum(losses);
      if (changes && step == 2) {
        losses[1].detach().mul_(100);
      }
      total.backward();
      calibration.end_epoch();
    }
    return calibration.diagnostics().weights;
  };
  CHECK(weights(true) == weights(false));

  Calibration calibration(fuller::IMTL_G(), task_names(2));
  clear(net.parameters());
  const Tensors expected = gradient_of(net.loss(1, net.features(x)), net.head_parameters(1));
  const auto v = calibration.fork<2>(net.features(x).front());
  calibration.sum({net.loss(0, {v[0]}), net.loss(1, {Silent::apply(v[1])})}).backward();
  CHECK(calibration.diagnostics().conditions[1] == fuller::Condition::zero);
  CHECK(difference(gradients_of(net.head_parameters(1)), expected) < 1e-12);
}

TEST_CASE("A data-parallel reducer's callback, which writes .grad at the very end, comes before the weights") {
  Network net = conv_network(2);
  const Tensor x = net.input(1);
  const Tensors expected = expected_gradients(net, x, imtl_g(gram_at(plain_losses(net, x), net.last)));
  // Copies each gradient into a bucket as it comes, and all buckets back when the backward is through.
  struct Reducer {
    Tensors parameters;
    Tensors buckets;
    std::size_t ready = 0;
  };
  struct Ready : torch::autograd::FunctionPostHook {
    Ready(std::shared_ptr<Reducer> of, std::size_t which) : reducer(std::move(of)), k(which) {}
    torch::autograd::variable_list operator()(const torch::autograd::variable_list& out,
                                              const torch::autograd::variable_list&) override {
      reducer->buckets[k] = reducer->parameters[k].grad().clone();
      if (++reducer->ready == reducer->parameters.size()) {
        torch::autograd::Engine::get_default_engine().queue_callback([all = reducer] {
          const torch::NoGradGuard guard;
          for (std::size_t j = 0; j < all->parameters.size(); ++j) {
            all->parameters[j].mutable_grad().copy_(all->buckets[j]);
          }
        });
      }
      return out;
    }
    std::shared_ptr<Reducer> reducer;
    std::size_t k;
  };
  auto reducer = std::make_shared<Reducer>();
  reducer->parameters = net.parameters();
  reducer->buckets.resize(reducer->parameters.size());
  std::vector<decltype(torch::autograd::impl::grad_accumulator(Tensor()))> accumulators;
  for (std::size_t k = 0; k < reducer->parameters.size(); ++k) {
    accumulators.push_back(torch::autograd::impl::grad_accumulator(reducer->parameters[k]));
    accumulators.back()->add_post_hook(std::make_unique<Ready>(reducer, k));
  }
  Calibration calibration(fuller::IMTL_G(), {"a", "b"});
  CHECK(difference(calibrated_gradients(calibration, net, x), expected) < 1e-12);
  CHECK(reducer->ready == reducer->parameters.size());  // no hook fired in the passes of our own
}

TEST_CASE("Under Uniform a model with dropout and batch norm trains as under the plain sum, bit for bit") {
  using namespace torch::nn;
  const auto train = [](bool calibrated) {
    torch::manual_seed(12);
    Sequential trunk(Conv2d(3, 6, 3), BatchNorm2d(6), ReLU(), Dropout(0.3), Conv2d(6, 5, 3));
    Sequential left(Conv2d(5, 4, 1), BatchNorm2d(4), Dropout(0.5), Flatten(), Linear(64, 3));
    Sequential right(Flatten(), Dropout(0.2), Linear(80, 2));
    Tensors all;
    for (const auto& module : {trunk, left, right}) {
      append(all, module->parameters());
    }
    torch::optim::SGD optimizer(all, torch::optim::SGDOptions(0.05).momentum(0.9));
    Calibration calibration(fuller::Uniform(), {"left", "right"});
    for (int step = 0; step < 5; ++step) {
      const Tensor x = torch::randn({4, 3, 8, 8});
      optimizer.zero_grad();
      const Tensor z = trunk->forward(x);
      const auto v = calibrated ? calibration.fork<2>(z) : std::array<Tensor, 2>{z, z};
      const Tensor a = torch::cross_entropy_loss(left->forward(v[0]), torch::tensor({0, 1, 2, 0}));
      const Tensor b = torch::cross_entropy_loss(right->forward(v[1]), torch::tensor({1, 0, 1, 0})) * 3;
      (calibrated ? calibration.sum({a, b}) : a + b).backward();
      optimizer.step();
    }
    for (const auto& module : {trunk, left, right}) {
      append(all, module->buffers());
    }
    all.push_back(torch::rand({3}));  // and the generator stands where it stood
    return copies_of(all);
  };
  CHECK(equal(train(true), train(false)));
}
