// SPDX-License-Identifier: Apache-2.0
// TaskMemory::layer_by_layer: the tasks pass the trunk together, outside of the engine, and no task gradient is held whole. Each
// against one ordinary backward a task; random graphs are in random_trunks_test.cpp.
#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include <torch/torch.h>

#include <fuller/fuller.hpp>
#include <fuller/measure/host_memory.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/multi_backward.hpp"
#include "support/networks.hpp"

using namespace fuller::testing;
using fuller::ApplyTo;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::Diagnostics;
using fuller::Surface;
using fuller::TaskMemory;

namespace {

CalibrationOptions with(TaskMemory memory) {
  CalibrationOptions options;
  options.surface = Surface::all_shared;
  options.memory = memory;
  return options;
}
const CalibrationOptions layer_by_layer = with(TaskMemory::layer_by_layer);

/// A trunk in the test's own words, with two losses of its output.
struct Model {
  Tensors parameters;
  std::function<Tensor()> features;
  double rounding = 1e-12;  ///< of a pass

  static Tensors losses(const std::vector<Tensor>& z) { return {z[0].sin().pow(2).sum(), 3 * (z[1] - 1).cos().sum()}; }

  /// One calibrated step leaves what one backward a task, weighted by IMTL-G, gives; T passes, and one that trains.
  void check() {
    const Tensor plain = features();
    const Tensors of_plain = losses({plain, plain});
    const Weights weights = imtl_g_shared(of_plain, parameters);
    const Tensors expected = weighted_gradients(of_plain, parameters, {{}, {}}, weights);
    for (const bool forks : {true, false}) {
      Calibration calibration(fuller::IMTL_G(), {"a", "b"}, layer_by_layer);
      clear(parameters);
      const Tensor z = features();
      calibration.sum(forks ? losses(calibration.fork(z)) : losses({z, z})).backward();
      CHECK(difference(gradients_of(parameters), expected) < rounding);
      const Diagnostics shown = calibration.diagnostics();
      CHECK(difference_of(shown.weights, weights.shared) < 1e-12);
      CHECK(shown.passes == 2);
      CHECK_FALSE(shown.summed);
      CHECK(shown.one_more == "options.memory is TaskMemory::layer_by_layer");
    }
  }
};

}  // namespace

TEST_CASE("Layer by layer: networks of convolutions, levels, linear layers and sequences, both routes") {
  for (const auto& make : {conv_network, pyramid_network, sequence_network}) {
    for (const int tasks : {1, 3}) {
      Network net = make(tasks, torch::kDouble);
      const Tensor x = net.input(3);
      const Tensors losses = plain_losses(net, x);
      const Tensors expected = expected_gradients(net, x, imtl_g_shared(losses, net.shared_parameters()));
      const std::vector<int> all(static_cast<std::size_t>(tasks), 1);
      for (const bool forks : {true, false}) {
        if (!forks && tasks == 1) {
          continue;  // then what is shared is not known
        }
        CalibrationOptions options = layer_by_layer;
        options.apply_to = ApplyTo::shared_only;
        Calibration calibration(fuller::IMTL_G(), task_names(tasks), options);
        clear(net.parameters());
        summed_loss(calibration, net, x, all, forks).backward();
        CHECK(difference(gradients_of(net.parameters()), expected) < 1e-11);
        CHECK(calibration.diagnostics().passes == tasks);
      }
    }
  }
}

TEST_CASE("Layer by layer: what the engine does between nodes is done") {
  torch::manual_seed(8);
  Model model;
  const Tensor x = torch::randn({6, 4}, torch::kDouble);
  SECTION("broadcasts are undone") {
    model.parameters = {random_parameter({4, 5}), random_parameter({5}), random_parameter({6, 1}), random_parameter({})};
    model.features = [&] {
      return ((x.mm(model.parameters[0]) + model.parameters[1]) * model.parameters[2] + model.parameters[3]).tanh();
    };
  }
  SECTION("types are cast back") {
    model.rounding = 1e-6;  // the tasks' sum goes through floats, and not each task alone
    model.parameters = {random_parameter({4, 5}), random_parameter({5, 5})};
    model.features = [&] {
      return (x.mm(model.parameters[0]).to(torch::kFloat).to(torch::kDouble).tanh()).mm(model.parameters[1]);
    };
  }
  SECTION("complex numbers in between") {
    model.parameters = {random_parameter({4, 8}), random_parameter({8})};
    model.features = [&] {
      const Tensor spectrum = torch::fft::fft(x.mm(model.parameters[0])) * model.parameters[1];
      return torch::abs(spectrum) + torch::real(spectrum);
    };
  }
  SECTION("a parameter that is used again and again, and one that leads to z by ways of unequal length") {
    model.parameters = {random_parameter({4, 4}), random_parameter({4})};
    model.features = [&] {
      Tensor h = x;
      for (int k = 0; k < 4; ++k) {
        h = (h.mm(model.parameters[0].t()) * model.parameters[1]).tanh() + h;
      }
      return h * model.parameters[1] + x.mm(model.parameters[0]);
    };
  }
  SECTION("in place, views, several outputs of one operation, one of them unused") {
    model.parameters = {random_parameter({4, 6}), random_parameter({2})};
    model.features = [&] {
      Tensor h = x.mm(model.parameters[0]);
      h.narrow(1, 1, 2).mul_(model.parameters[1]);
      const Tensors parts = h.chunk(3, 1);
      return torch::cat({std::get<0>(torch::sort(parts[0], 0)), parts[2].relu()}, 1);
    };
  }
  SECTION("an embedding's gradient that is sparse") {
    model.parameters = {random_parameter({7, 3}), random_parameter({3, 3})};
    model.features = [&] {
      const Tensor rows = torch::tensor({4, 4, 0, 6, 1});
      return torch::embedding(model.parameters[0], rows, -1, false, /*sparse=*/true).mm(model.parameters[1]);
    };
    const Tensor plain = model.features();
    const Tensors losses = Model::losses({plain, plain});
    Calibration sparing(fuller::IMTL_G(), {"a", "b"}, layer_by_layer);
    Calibration whole(fuller::IMTL_G(), {"a", "b"}, with(TaskMemory::all_layers));
    for (Calibration* const calibration : {&sparing, &whole}) {
      clear(model.parameters);
      calibration->sum(Model::losses(calibration->fork(model.features()))).backward();
    }
    CHECK(difference_of(sparing.diagnostics().weights, whole.diagnostics().weights) < 1e-12);
    return;
  }
  SECTION("a matrix whose rows are looked up, with a sparse gradient, and which is multiplied with before") {
    model.parameters = {random_parameter({7, 4})};
    model.features = [&] {
      const Tensor first = x.mm(model.parameters[0].t()).sum();
      return first * torch::embedding(model.parameters[0], torch::tensor({4, 4, 0}), -1, false, /*sparse=*/true);
    };
  }
  SECTION("hooks that change a gradient on its way: what arrives, what a node sends on") {
    model.parameters = {random_parameter({4, 5}), random_parameter({5, 5})};
    model.features = [&] {
      const Tensor h = x.mm(model.parameters[0]).tanh();
      h.register_hook([](const Tensor& gradient) { return gradient * 2; });
      struct Halves : torch::autograd::FunctionPostHook {
        Tensors operator()(const Tensors& out, const Tensors& /*in*/) override { return {out[0] / 4}; }
      };
      const Tensor y = h.sin();
      y.grad_fn()->add_post_hook(std::make_unique<Halves>());
      return y.mm(model.parameters[1]);
    };
  }
  SECTION("a function of the user's") {
    model.parameters = {random_parameter({4, 5}), random_parameter({5, 5})};
    struct Cubes : torch::autograd::Function<Cubes> {
      static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& h) {
        context->save_for_backward({h});
        return h.pow(3);
      }
      static Tensors backward(torch::autograd::AutogradContext* context, const Tensors& gradients) {
        return {3 * context->get_saved_variables()[0].pow(2) * gradients[0]};
      }
    };
    model.features = [&] { return Cubes::apply(x.mm(model.parameters[0]) / 3).mm(model.parameters[1]); };
  }
  SECTION("a leaf that is z itself") {
    model.parameters = {random_parameter({6, 4})};
    model.features = [&] { return model.parameters[0]; };
  }
  model.check();
}

TEST_CASE("Layer by layer: the most that is held is one layer's T gradients") {
  torch::manual_seed(2);
  constexpr int T = 4;
  constexpr std::int64_t width = 64;
  constexpr std::int64_t layers = 24;
  constexpr std::int64_t layer = width * width * 8;  // bytes
  constexpr std::int64_t rows = 32;                  // too many to compare the weights by rows
  Tensors weights;
  for (int k = 0; k < layers; ++k) {
    weights.push_back((random_parameter({width, width}).detach() / 8).requires_grad_());
    weights.back().mutable_grad() = torch::zeros_like(weights.back());
  }
  const Tensor x = torch::randn({rows, width}, torch::kDouble);
  const fuller::HostMemory memory;
  const auto peak = [&](TaskMemory how, std::int64_t& kept) {
    Calibration calibration(fuller::IMTL_G(), task_names(T), with(how));
    Tensor h = x;
    for (const Tensor& weight : weights) {
      h = h.mm(weight).tanh();
    }
    const auto z = calibration.fork(h);
    Tensors losses;
    for (int i = 0; i < T; ++i) {
      losses.push_back((z[static_cast<std::size_t>(i)] * (i + 1)).sin().sum());
    }
    const Tensor loss = calibration.sum(losses);
    const std::int64_t bytes = memory.peak_of([&] { loss.backward(); });
    kept = calibration.diagnostics().bytes_kept;
    return bytes;
  };
  std::int64_t kept = 0;
  const std::int64_t all = peak(TaskMemory::all_layers, kept);
  CHECK(all >= T * layers * layer);
  CHECK(kept == T * layers * layer);
  const std::int64_t one = peak(TaskMemory::layer_by_layer, kept);
  CHECK(kept == T * layer);
  // T gradients of one weight, one copy while an operation forms the next, and T gradients of activations, a few at a time.
  CHECK(one <= (T + 1) * layer + 4 * T * rows * width * 8);
}

TEST_CASE("Layer by layer: gates on the way let the tasks through, and open as they do otherwise") {
  torch::manual_seed(4);
  const Tensor x = torch::randn({5, 4}, torch::kDouble);
  const Tensor A = random_parameter({4, 3});
  const Tensor B = random_parameter({4, 3});
  const Tensor W = random_parameter({5, 6});
  const Tensor V = random_parameter({5, 5});
  const Tensors parameters{A, B, W, V};
  std::vector<Tensors> left;
  std::vector<std::vector<double>> gates;
  for (const TaskMemory memory : {TaskMemory::all_layers, TaskMemory::layer_by_layer}) {
    Calibration calibration(fuller::IMTL_G(), {"a", "b"}, with(memory));
    calibration.modalities(fuller::ModalityGate(), {"camera", "lidar"});
    clear(parameters);
    for (int step = 0; step < 3; ++step) {
      const auto features = calibration.gate({x.mm(A), x.mm(B) * 4}, W);
      const Tensor z = torch::cat(features, 1).mm(W.t()).tanh().mm(V);
      calibration.sum(Model::losses(calibration.fork(z))).backward();
    }
    left.push_back(copies_of(gradients_of(parameters)));
    gates.push_back(calibration.diagnostics().gates);
  }
  CHECK(difference(left[1], left[0]) < 1e-12);
  CHECK(difference_of(gates[1], gates[0]) < 1e-12);
  CHECK(gates[0][0] != gates[0][1]);
}

TEST_CASE("Layer by layer: what it does not go with is refused, with the way out") {
  CalibrationOptions options = layer_by_layer;
  SECTION("another surface") {
    for (const Surface surface : {Surface::representation, Surface::last_shared}) {
      options.surface = surface;
      CHECK(contains(thrown_by([&] {
                       Calibration(fuller::IMTL_G(), {"a", "b"}, options);
                     }),
                     "set options.surface = fuller::Surface::all_shared"));
    }
  }
  SECTION("ranks") {
    options.ranks.count = 2;
    options.ranks.average = [](std::vector<Tensor>& /*tensors*/) {};
    CHECK(contains(thrown_by([&] {
                     Calibration(fuller::IMTL_G(), {"a", "b"}, options);
                   }),
                   "keeps no task gradients, and ranks average those"));
  }
  SECTION("micro-batches") {
    Calibration calibration(fuller::IMTL_G(), {"a", "b"}, options);
    CHECK(contains(thrown_by([&] { calibration.accumulate(2); }), "choose TaskMemory::all_layers"));
    CHECK_NOTHROW(calibration.accumulate(1));
  }
  const Tensor W = random_parameter({4, 4});
  const Tensor x = torch::randn({3, 4}, torch::kDouble);
  SECTION("another calibration on the way") {
    Calibration inner(fuller::IMTL_G(), {"c", "d"});
    Calibration outer(fuller::IMTL_G(), {"a", "b"}, options);
    const auto forked = inner.fork(x.mm(W));
    const auto z = outer.fork(forked[0].tanh());
    CHECK(contains(thrown_by([&] { outer.sum(Model::losses(z)).backward(); }), "another calibration's fork() or sum(), at"));
  }
  SECTION("a backward to some inputs alone, in which a node forms the gradients of those alone") {
    const Tensor V = random_parameter({4, 2});
    Calibration calibration(fuller::IMTL_G(), {"a", "b"}, options);
    for (const bool forks : {true, false}) {
      const Tensor z = x.mm(W).tanh().mm(V);
      const Tensor loss = calibration.sum(Model::losses(forks ? calibration.fork(z) : Tensors{z, z}));
      CHECK(contains(thrown_by([&] { torch::autograd::grad({loss}, {V}); }), "a backward to some inputs alone; choose"));
    }
  }
  SECTION("a checkpoint") {
    Calibration calibration(fuller::IMTL_G(), {"a", "b"}, options);
    torch::nn::Sequential inner(torch::nn::Linear(4, 4));
    inner->to(torch::kDouble);
    const Tensor h = Checkpoint::apply(x.mm(W), inner);
    CHECK(contains(thrown_by([&] { calibration.sum(Model::losses(calibration.fork(h))).backward(); }), "checkpoint"));
  }
}
