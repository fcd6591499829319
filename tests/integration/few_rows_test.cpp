// SPDX-License-Identifier: Apache-2.0
// Linear layers of few rows at Surface::all_shared, which are compared without gradients of their weights, unasked: the weights
// and gradients are those of one ordinary backward a task, or another way is taken.
#include <cstdint>
#include <functional>
#include <vector>

#include <torch/torch.h>

#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/multi_backward.hpp"
#include "support/networks.hpp"

using namespace fuller::testing;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::Diagnostics;
using fuller::Surface;
using fuller::TaskMemory;

namespace {

CalibrationOptions at_all_shared(TaskMemory memory = TaskMemory::all_layers) {
  CalibrationOptions options;
  options.surface = Surface::all_shared;
  options.memory = memory;
  return options;
}

Tensors losses_of(const std::vector<Tensor>& z) { return {z[0].sin().pow(2).sum(), 3 * (z[1] - 1).cos().sum()}; }

bool is_by_rows(const Calibration& calibration) {
  return contains(calibration.diagnostics().one_more, "linear layers of few rows");
}

/// Two linear layers of few rows, W read as it is or transposed, with a bias or without.
struct FewRows {
  Tensor x = torch::randn({3, 40}, torch::kDouble);
  Tensor W = random_parameter({32, 40});
  Tensor b = random_parameter({32});
  Tensor V = random_parameter({32, 48});
  Tensors parameters{W, b, V};

  Tensor features() const { return torch::linear(x, W, b).tanh().mm(V); }
};

}  // namespace

TEST_CASE("Linear layers of few rows: no gradient of a weight is formed for the weights, and the gradients are right") {
  torch::manual_seed(12);
  FewRows net;
  const Tensor plain = net.features();
  const Tensors of_plain = losses_of({plain, plain});
  const Weights weights = imtl_g_shared(of_plain, net.parameters);
  const Tensors expected = weighted_gradients(of_plain, net.parameters, {{}, {}}, weights);
  for (const TaskMemory memory : {TaskMemory::all_layers, TaskMemory::layer_by_layer}) {
    Calibration calibration(fuller::IMTL_G(), {"a", "b"}, at_all_shared(memory));
    clear(net.parameters);
    int hooked = 0;
    Tensor seen;
    const unsigned hook = net.W.register_hook([&](const Tensor& gradient) {
      ++hooked;
      seen = gradient.clone();
    });
    calibration.sum(losses_of(calibration.fork(net.features()))).backward();
    net.W.remove_hook(hook);
    CHECK(difference(gradients_of(net.parameters), expected) < 1e-12);
    CHECK(hooked == 1);
    CHECK(difference({seen}, {expected[0]}) < 1e-12);
    const Diagnostics shown = calibration.diagnostics();
    CHECK(difference_of(shown.weights, weights.shared) < 1e-11);
    CHECK_FALSE(shown.summed);
    CHECK(shown.bytes_kept == 2 * 32 * 8);  // of the bias
    CHECK(contains(shown.one_more, memory == TaskMemory::all_layers ? "linear layers of few rows" : "options.memory"));
  }
}

TEST_CASE("Linear layers of few rows: an absent task, and a matrix that is read twice, scaled or watched") {
  torch::manual_seed(13);
  FewRows net;
  bool by_rows = false;
  std::function<Tensor()> features = [&] { return net.features(); };
  std::vector<std::uint8_t> present{1, 1, 1};
  SECTION("absent") {
    present = {1, 0, 1};
    by_rows = true;
  }
  SECTION("read twice") {
    features = [&] { return (torch::linear(net.x, net.W, net.b) + torch::linear(2 * net.x, net.W)).tanh().mm(net.V); };
  }
  SECTION("a scaled product") {
    features = [&] { return torch::addmm(net.b, net.x, net.W.t(), 1, 0.5).tanh().mm(net.V); };
  }
  SECTION("a hook on the matrix as it is read, which changes its gradient") {
    features = [&] {
      const Tensor transposed = net.W.t();
      transposed.register_hook([](const Tensor& gradient) { return gradient * 3; });
      return net.x.mm(transposed).add(net.b).tanh().mm(net.V);
    };
  }
  SECTION("a matrix that is made of a smaller one, and so is no product's own") {
    features = [&] { return torch::linear(net.x, net.W * net.b.unsqueeze(1), net.b).tanh().mm(net.V); };
  }
  const auto losses_of = [&](const std::vector<Tensor>& z) {
    Tensors losses{z[0].sin().pow(2).sum(), 3 * (z[1] - 1).cos().sum(), z[2].pow(2).mean()};
    for (std::size_t i = 0; i < 3; ++i) {
      losses[i] = present[i] != 0 ? losses[i] : Tensor();
    }
    return losses;
  };
  const Tensor plain = features();
  Tensors all{plain.sin().pow(2).sum(), 3 * (plain - 1).cos().sum(), plain.pow(2).mean()};
  std::vector<Tensors> gradients;
  for (std::size_t i = 0; i < 3; ++i) {
    gradients.push_back(gradient_of(present[i] != 0 ? all[i] : all[i] * 0, net.parameters));
  }
  RuleAlone<fuller::PCGrad> alone(fuller::PCGrad(), 3);
  const Weights weights = alone(gram_of(gradients), {0, 0, 0}, present);
  Tensors expected;
  for (std::size_t k = 0; k < net.parameters.size(); ++k) {
    expected.push_back(weights.shared[0] * gradients[0][k] + weights.shared[1] * gradients[1][k] +
                       weights.shared[2] * gradients[2][k]);
  }
  Calibration calibration(fuller::PCGrad(), task_names(3), at_all_shared());
  clear(net.parameters);
  calibration.sum(losses_of(calibration.fork(features()))).backward();
  CHECK(difference(gradients_of(net.parameters), expected) < 1e-11);
  CHECK(is_by_rows(calibration) == by_rows);
}

TEST_CASE("Linear layers of few rows: a backward to some inputs alone has the weights of a whole one") {
  torch::manual_seed(14);
  FewRows net;
  const Tensor plain = net.features();
  const Tensors of_plain = losses_of({plain, plain});
  const Weights weights = imtl_g_shared(of_plain, net.parameters);
  const Tensors expected = weighted_gradients(of_plain, net.parameters, {{}, {}}, weights);
  Calibration calibration(fuller::IMTL_G(), {"a", "b"}, at_all_shared());
  for (std::size_t k = 0; k < net.parameters.size(); ++k) {
    const Tensor loss = calibration.sum(losses_of(calibration.fork(net.features())));
    const Tensors got = torch::autograd::grad({loss}, {net.parameters[k]});
    CHECK(difference(got, {expected[k]}) < 1e-12);
    CHECK(difference_of(calibration.diagnostics().weights, weights.shared) < 1e-12);
    CHECK_FALSE(is_by_rows(calibration));
  }
}

TEST_CASE("Linear layers of few rows: a sparse input, which has no rows in memory") {
  torch::manual_seed(15);
  const Tensor x = torch::randn({3, 40}, torch::kDouble);
  const Tensor dense = x * (x > 0.5);
  const Tensor W = random_parameter({40, 32});
  const Tensor b = random_parameter({32});
  const Tensors parameters{W, b};
  const Tensor plain = torch::addmm(b, dense, W);
  const Tensors of_plain = losses_of({plain, plain});
  const Weights weights = imtl_g_shared(of_plain, parameters);
  const Tensors expected = weighted_gradients(of_plain, parameters, {{}, {}}, weights);
  for (const Tensor& sparse : {dense.to_sparse(), dense.to_sparse_csr()}) {
    for (const TaskMemory memory : {TaskMemory::all_layers, TaskMemory::layer_by_layer}) {
      Calibration calibration(fuller::IMTL_G(), {"a", "b"}, at_all_shared(memory));
      clear(parameters);
      calibration.sum(losses_of(calibration.fork(torch::mm(sparse, W) + b))).backward();
      CHECK(difference(gradients_of(parameters), expected) < 1e-12);
      CHECK(difference_of(calibration.diagnostics().weights, weights.shared) < 1e-12);
    }
  }
}

TEST_CASE("Linear layers of few rows: samples that cancel, as where a mean is subtracted of features with an offset") {
  torch::manual_seed(16);
  const Tensor x = torch::randn({6, 40}, torch::kDouble) + 1e8;
  const Tensor W = random_parameter({64, 40});
  const Tensor toward = torch::randn({6, 64}, torch::kDouble);
  const Tensor away = torch::randn({6, 64}, torch::kDouble) - toward;
  const auto features = [&] {
    const Tensor h = x.mm(W.t());
    return h - h.mean(0, /*keepdim=*/true);
  };
  const auto linear_losses = [&](const std::vector<Tensor>& z) { return Tensors{(z[0] * toward).sum(), (z[1] * away).sum()}; };
  const Tensor plain = features();
  const Tensors of_plain = linear_losses({plain, plain});
  const Weights weights = imtl_g_shared(of_plain, {W});
  Calibration calibration(fuller::IMTL_G(), {"a", "b"}, at_all_shared());
  calibration.sum(linear_losses(calibration.fork(features()))).backward();
  CHECK(is_by_rows(calibration));
  CHECK(difference_of(calibration.diagnostics().weights, weights.shared) < 1e-6);  // of the 1e-8 that doubles have left
  CHECK(difference({W.grad()}, weighted_gradients(of_plain, {W}, {{}, {}}, weights)) < 1e-6);
}

TEST_CASE("Linear layers of few rows: a gradient that is infinite in the weight's type is found and left out") {
  torch::manual_seed(17);
  const Tensor x = 1e20 * torch::randn({3, 40});
  const Tensor W = torch::randn({40, 32}).requires_grad_();
  for (const Surface surface : {Surface::all_shared, Surface::last_shared}) {
    CalibrationOptions options = at_all_shared();
    options.surface = surface;
    options.non_finite = fuller::NonFinite::skip;
    Calibration calibration(fuller::IMTL_G(), {"steep", "flat"}, options);
    clear({W});
    const Tensor plain = x.mm(W);
    const auto slope = [](const Tensor& z, double of) { return ((z - z.detach()) * of).sum(); };  // 0, with this gradient
    REQUIRE_FALSE(all_finite(gradient_of(slope(plain, 1e20), {W})));
    const auto z = calibration.fork(plain);
    calibration.sum({slope(z[0], 1e20), slope(z[1], 1)}).backward();
    CHECK(calibration.diagnostics().conditions[0] == fuller::Condition::non_finite);
    CHECK(difference({W.grad()}, gradient_of(slope(x.mm(W), 1), {W})) < 1e-6);
  }
}
