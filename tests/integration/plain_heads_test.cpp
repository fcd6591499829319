// SPDX-License-Identifier: Apache-2.0
// Heads that are not weighted while their losses are, since they share parameters: each gets the gradient of its own loss, as a
// plain backward would give it to hooks, reducers and .grad.
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/torch.h>
#include <torch/version.h>

#include <fuller/eigen.hpp>
#include <fuller/engine/host_rules.hpp>
#include <fuller/engine/steps.hpp>
#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/emulated_kernels.hpp"
#include "support/host_stream.hpp"
#include "support/multi_backward.hpp"

using namespace fuller::testing;
using fuller::ApplyTo;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::NonFinite;
using fuller::Surface;

namespace {

/// Weights as they are told.
struct Told {
  static constexpr const char* name = "Told";
  std::vector<double> values;
  void operator()(const fuller::EigenEvidence& /*evidence*/, Eigen::Ref<Eigen::VectorXd> weights) const {
    for (std::size_t i = 0; i < values.size(); ++i) {
      weights[static_cast<Eigen::Index>(i)] = values[i];
    }
  }
};

/// A trunk W, a layer S that both heads read through, and a head for each of two tasks.
struct Model {
  Model() {
    torch::manual_seed(5);
    x = torch::randn({5, 4}, torch::kDouble);
    for (const auto& shape : {std::vector<std::int64_t>{6, 4}, {6, 6}, {2, 6}, {3, 6}}) {
      all.push_back(torch::randn(shape, torch::kDouble).requires_grad_());
    }
  }
  Tensors losses() const {
    const Tensor z = torch::tanh(torch::tanh(x.mm(all[0].t())).mm(all[1].t()));
    return {z.mm(all[2].t()).pow(2).sum(), z.mm(all[3].t()).exp().mean()};
  }
  /// sum_i w_i dL_i on W and S, dL_i on the heads times `of_heads`.
  Tensors expected(const std::vector<double>& weights, const std::vector<double>& of_heads = {1, 1}) const {
    return weighted_gradients(losses(), {all[0], all[1]}, {{all[2]}, {all[3]}}, {weights, of_heads});
  }
  const Tensor& head(int task) const { return all[static_cast<std::size_t>(2 + task)]; }

  Tensor x;
  Tensors all;
};

CalibrationOptions plain_heads() {
  CalibrationOptions options;
  options.surface = Surface::all_shared;
  options.apply_to = ApplyTo::shared_only;
  return options;
}

Calibration told(std::vector<double> weights, const CalibrationOptions& options = plain_heads()) {
  return Calibration(fuller::EigenRule<Told>{Told{std::move(weights)}}, {"a", "b"}, options);
}

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

}  // namespace

TEST_CASE("Plain heads whatever their tasks weigh: 1, 0, negative, tiny, huge") {
  for (const std::vector<double>& weights :
       std::vector<std::vector<double>>{{1, 1}, {0, 2}, {-0.5, 0.25}, {1e-100, 1e-30}, {1e100, 3}, {0, 0}}) {
    INFO("weights " << weights[0] << ", " << weights[1]);
    Model model;
    Calibration calibration = told(weights);
    for (int step = 1; step <= 2; ++step) {  // and .grad accumulates
      calibration.sum(model.losses()).backward();
      Tensors expected = model.expected(weights);
      for (Tensor& gradient : expected) {
        gradient = gradient * step;
      }
      CHECK(difference(gradients_of(model.all), expected) < 1e-13);
    }
  }
}

TEST_CASE("Plain heads under weights that are NaN, which their shared parameters show") {
  Model model;
  Calibration calibration = told({not_a_number, 2});
  calibration.sum(model.losses()).backward();
  const Tensors expected = model.expected({1, 1});
  CHECK(difference({model.head(0).grad(), model.head(1).grad()}, {expected[2], expected[3]}) < 1e-13);
  CHECK(model.all[0].grad().isnan().all().item<bool>());
}

TEST_CASE("A head that would be trained uphill gets zeros, and a task that is skipped trains nothing") {
  CalibrationOptions options = plain_heads();
  SECTION("uphill") {
    options.apply_to = ApplyTo::all;
    Model model;
    Calibration calibration = told({-0.5, 2}, options);
    const Tensors expected = model.expected({-0.5, 2}, {0, 2});
    int calls = 0;
    model.head(0).register_hook([&](const Tensor& gradient) {
      ++calls;
      CHECK(gradient.eq(0).all().item<bool>());
    });
    calibration.sum(model.losses()).backward();
    CHECK(calls == 1);
    CHECK(difference(gradients_of(model.all), expected) < 1e-13);
  }
  SECTION("skipped") {
    options.non_finite = NonFinite::skip;
    Model model;
    Calibration calibration(fuller::PCGrad(), {"a", "b"}, options);
    Tensors losses = model.losses();
    losses[0] = Replaces::apply(losses[0], not_a_number);
    calibration.sum(losses).backward();
    CHECK(difference(gradients_of(model.all), model.expected({0, 1}, {0, 1})) < 1e-13);
  }
}

TEST_CASE("Hooks on plain heads: each is called once, with the gradient of the unweighted loss, and what it returns counts") {
  Model model;
  Calibration calibration = told({3, 0.25});
  std::vector<Tensor> seen;
  model.head(0).register_hook([&](const Tensor& gradient) { seen.push_back(gradient.clone()); });
  model.head(0).register_hook([](const Tensor& gradient) { return gradient * 0.5; });
  model.head(1).register_hook([](const Tensor& gradient) { return gradient.clamp(-0.1, 0.1); });  // that is not linear
  Tensors expected = model.expected({3, 0.25});
  const Tensor unhooked = expected[2];
  expected[2] = expected[2] * 0.5;
  expected[3] = expected[3].clamp(-0.1, 0.1);
  seen.clear();  // autograd::grad calls hooks from LibTorch 2.0 on
  {
    // What LibTorch itself leaves.
    Model other;
    other.head(0).register_hook([](const Tensor& gradient) { return gradient * 0.5; });
    const Tensors losses = other.losses();
    (losses[0] + losses[1]).backward();
    expected[2] = other.head(0).grad().clone();
  }
  for (auto& parameter : model.all) {
    parameter.mutable_grad() = Tensor();
  }
  const Tensor loss = calibration.sum(model.losses());
  loss.backward({}, /*retain_graph=*/true);
  REQUIRE(seen.size() == 1);
  Model unhooked_model;
  CHECK(difference(seen, {unhooked_model.expected({3, 0.25})[2]}) < 1e-13);
  const Tensor of_second = unhooked_model.expected({3, 0.25})[3].clamp(-0.1, 0.1);
  CHECK(difference({model.head(0).grad(), model.head(1).grad()}, {expected[2], of_second}) < 1e-13);
  // The retained graph once more: a step of its own.
  loss.backward();
  CHECK(seen.size() == 2);
  CHECK(difference({model.head(0).grad(), model.head(1).grad()}, {expected[2] * 2, of_second * 2}) < 1e-13);
  // And no hook of fuller's is left.
  Model same;
  model.head(0).mutable_grad() = Tensor();
  (model.losses()[0] * 7).backward();
  CHECK(difference({model.head(0).grad()}, {7 * 0.5 * unhooked_model.expected({1, 1})[2]}) < 1e-13);
}

namespace {

/// What a data-parallel reducer hangs on a parameter's node.
struct AfterAccumulation : torch::autograd::FunctionPostHook {
  explicit AfterAccumulation(std::function<void()> f) : does(std::move(f)) {}
  Tensors operator()(const Tensors& outputs, const Tensors& /*inputs*/) override {
    does();
    return outputs;
  }
  std::function<void()> does;
};

}  // namespace

TEST_CASE("A reducer's hook sees the gradient of a plain head when it has been accumulated, once") {
  Model model;
  const Tensor expected = model.expected({3, 0.25})[2];
  const auto node = torch::autograd::impl::grad_accumulator(model.head(0));
  std::vector<Tensor> seen;
  node->add_post_hook(std::make_unique<AfterAccumulation>([&] { seen.push_back(model.head(0).grad().clone()); }));
  Calibration calibration = told({3, 0.25});
  calibration.sum(model.losses()).backward();
  REQUIRE(seen.size() == 1);
  CHECK(difference(seen, {expected}) < 1e-13);
}

#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 1)
namespace {
struct AfterGrad : torch::autograd::PostAccumulateGradHook {
  explicit AfterGrad(std::vector<Tensor>& list) : seen(list) {}
  void operator()(const Tensor& parameter) override { seen.push_back(parameter.grad().clone()); }
  std::vector<Tensor>& seen;
};
}  // namespace

TEST_CASE("A post-accumulate hook on a plain head sees what stays in .grad, once") {
  Model model;
  const Tensor expected = model.expected({3, 0.25})[2];
  std::vector<Tensor> seen;
  torch::autograd::impl::set_post_acc_grad_hooks(model.head(0), std::make_unique<AfterGrad>(seen));
  Calibration calibration = told({3, 0.25});
  calibration.sum(model.losses()).backward();
  REQUIRE(seen.size() == 1);
  CHECK(difference(seen, {expected}) < 1e-13);
  CHECK(equal(seen, {model.head(0).grad()}));
}
#endif

TEST_CASE("A backward to some parameters touches those alone, and plain heads among them get plain gradients") {
  Model model;
  const std::vector<double> weights{3, 0.25};
  const Tensors expected = model.expected(weights);
  const auto loss_of = [&](Calibration& calibration) { return calibration.sum(model.losses()); };
  Calibration calibration = told(weights);
  SECTION("autograd::grad to a shared parameter") {
    const Tensors got = torch::autograd::grad({loss_of(calibration)}, {model.all[0]});
    CHECK(difference(got, {expected[0]}) < 1e-13);
    for (const Tensor& parameter : model.all) {
      CHECK_FALSE(parameter.grad().defined());
    }
  }
  SECTION("backward to a shared parameter") {
    loss_of(calibration).backward({}, false, false, Tensors{model.all[0]});
    CHECK(difference({model.all[0].grad()}, {expected[0]}) < 1e-13);
    for (std::size_t k = 1; k < 4; ++k) {
      CHECK_FALSE(model.all[k].grad().defined());
    }
  }
  SECTION("backward to a shared parameter and one head, whose gradients accumulate") {
    loss_of(calibration).backward();
    const Tensors before = gradients_of(model.all);
    loss_of(calibration).backward({}, false, false, Tensors{model.all[0], model.head(0)});
    CHECK(difference(gradients_of(model.all), {2 * expected[0], before[1], 2 * expected[2], before[3]}) < 1e-13);
    CHECK(equal({model.all[1].grad(), model.head(1).grad()}, {before[1], before[3]}));
  }
  SECTION("autograd::grad to heads") {
    const Tensors got = torch::autograd::grad({loss_of(calibration)}, {model.head(1), model.all[1], model.head(0)});
    CHECK(difference(got, {expected[3], expected[1], expected[2]}) < 1e-13);
    for (const Tensor& parameter : model.all) {
      CHECK_FALSE(parameter.grad().defined());
    }
  }
}

TEST_CASE("Plain heads: sparse gradients, frozen parameters, .grad that keeps its storage") {
  torch::manual_seed(8);
  const auto wide = torch::TensorOptions(torch::kDouble).requires_grad(true);
  const Tensor shared = torch::randn({6}, wide);
  torch::nn::Embedding rows(torch::nn::EmbeddingOptions(5, 6).sparse(true));
  rows->to(torch::kDouble);
  const Tensor dense = torch::randn({6}, wide);
  Calibration calibration = told({3, 0});
  Tensor storage;
  for (int step = 1; step <= 3; ++step) {
    const Tensor picked = rows(torch::tensor({1, 3, 3}));
    calibration.sum({(picked * shared).sum(), (dense * shared).sum()}).backward();
    Tensor expected = torch::zeros({5, 6}, torch::kDouble);
    expected[1] = step * shared.detach();
    expected[3] = 2 * step * shared.detach();
    CHECK(rows->weight.grad().is_sparse());
    CHECK(difference({rows->weight.grad(), dense.grad()}, {expected, step * shared.detach()}) < 1e-13);
    if (step == 1) {
      storage = dense.grad();
    }
    CHECK(dense.grad().is_same(storage));
  }
}

TEST_CASE("A backward of plain heads that throws late leaves no hook of fuller's") {
  Model model;
  Calibration calibration = told({3, 0.25});
  int passes = 0;
  const Tensor z = torch::tanh(model.x.mm(model.all[0].t()));
  z.register_hook([&](const Tensor& gradient) {
    if (++passes == 3) {  // after the two passes that form task gradients
      throw std::runtime_error("boom");
    }
    return gradient;
  });
  const Tensor y = z.mm(model.all[1].t());
  const Tensor loss = calibration.sum({y.mm(model.head(0).t()).sum(), y.mm(model.head(1).t()).pow(2).sum()});
  CHECK(contains(thrown_by([&] { loss.backward(); }), "boom"));
  clear(model.all);
  const Tensors losses = model.losses();
  (losses[0] + losses[1]).backward();
  CHECK(difference(gradients_of(model.all), model.expected({1, 1})) < 1e-13);
  clear(model.all);
  calibration.sum(model.losses()).backward();
  CHECK(difference(gradients_of(model.all), model.expected({3, 0.25})) < 1e-13);
}

TEST_CASE("Plain heads of steps on a device, under hooks") {
  static HostStream stream;
  for (const bool kernels : {false, true}) {
    Model model;
    Calibration host(fuller::Constant({3, 0.25}), {"a", "b"}, plain_heads());
    host.use(kernels ? fuller::steps_on(at::kCPU, [] { return emulated_kernels; })
                     : fuller::host_rules_on(at::kCPU, stream.launcher()));
    Tensors expected = model.expected({3, 0.25});
    expected[2] = expected[2] * 0.5;
    int calls = 0;
    model.head(0).register_hook([&](const Tensor& gradient) {
      ++calls;
      return gradient * 0.5;
    });
    host.sum(model.losses()).backward();
    CHECK(calls == 1);
    CHECK(difference(gradients_of(model.all), expected) < 1e-13);
  }
}
