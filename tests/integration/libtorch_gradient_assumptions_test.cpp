// SPDX-License-Identifier: Apache-2.0
// What the nodes of a calibration take LibTorch to do with the gradients that it hands on: whose memory they are, where they go,
// who sees them, what becomes of an exception. On graphs of a few nodes, with no calibration.
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <fuller/graph/libtorch.hpp>
#include <fuller/graph/running.hpp>

#include "support/catch.hpp"
#include "support/probe.hpp"

using fuller::detail::gradient_edge;
using fuller::detail::Running;
using fuller::testing::node_of;
using torch::Tensor;
using Tensors = std::vector<Tensor>;

namespace {

using Call = std::function<Tensors(const Tensors&)>;

std::deque<Call>& calls() {
  static std::deque<Call> all;
  return all;
}

/// Inputs out as they come in; what its backward sends for what has come is given.
struct Calls : torch::autograd::Function<Calls> {
  static Tensors forward(torch::autograd::AutogradContext* context, at::TensorList inputs, std::int64_t call) {
    context->set_materialize_grads(false);
    context->saved_data["call"] = call;
    Tensors outputs;
    for (const Tensor& input : inputs) {
      outputs.push_back(input.clone());
    }
    return outputs;
  }
  static Tensors backward(torch::autograd::AutogradContext* context, const Tensors& gradients) {
    Tensors sent = calls()[static_cast<std::size_t>(context->saved_data["call"].toInt())](gradients);
    sent.emplace_back();
    return sent;
  }
};

Tensors through(const Tensors& inputs, Call call) {
  calls().push_back(std::move(call));
  return Calls::apply(at::TensorList(inputs), static_cast<std::int64_t>(calls().size()) - 1);
}

/// `x`, and `look()` called when its gradient has come.
Tensor seen(const Tensor& x, std::function<void()> look) {
  return through({x}, [look = std::move(look)](const Tensors& gradients) {
    look();
    return gradients;
  })[0];
}

Tensor one_value() { return torch::ones({1}, torch::dtype(torch::kDouble).requires_grad(true)); }

/// Keeps what arrives at a node.
struct Keeps : fuller::detail::FunctionPreHook {
  explicit Keeps(Tensors& to) : kept(to) {}
  Tensors operator()(const Tensors& gradients) override {
    kept = gradients;
    return gradients;
  }
  Tensors& kept;
};

/// Saves something that tells when it dies.
struct Saves : torch::autograd::Function<Saves> {
  struct Holder : torch::CustomClassHolder {
    std::shared_ptr<int> value = std::make_shared<int>(0);
  };
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x, std::weak_ptr<int>* watch) {
    auto holder = c10::make_intrusive<Holder>();
    *watch = holder->value;
    context->saved_data["held"] = c10::IValue::make_capsule(std::move(holder));
    return x.clone();
  }
  static Tensors backward(torch::autograd::AutogradContext* /*context*/, const Tensors& gradients) {
    return {gradients[0], Tensor()};
  }
};

}  // namespace

TEST_CASE("LibTorch: a node has an edge for each tensor it reads, in their order, and an empty one where no gradient is needed") {
  const Tensor p = one_value();
  const Tensor q = one_value();
  const Tensor both = at::cat({p, q});
  REQUIRE(node_of(both)->num_outputs() == 2);
  CHECK(node_of(both)->next_edge(0).function.get() == node_of(p));
  CHECK(node_of(both)->next_edge(1).function.get() == node_of(q));
  const Tensor scaled = torch::ones({1}, torch::kDouble) * p;
  REQUIRE(node_of(scaled)->num_outputs() == 2);
  CHECK_FALSE(node_of(scaled)->next_edge(0).function);
  CHECK(node_of(scaled)->next_edge(1).function);
}

TEST_CASE("LibTorch: a gradient that arrives alone is the tensor that was sent, and one that others are added to is not") {
  for (const bool alone : {true, false}) {
    const Tensor p = one_value();
    const Tensor at_node = p * 2;
    Tensors arrived;
    gradient_edge(at_node).function->add_pre_hook(std::make_unique<Keeps>(arrived));
    const Tensor sent = torch::full({1}, 3.0, torch::kDouble);  // held here, as the loss sum holds its scale
    const Tensor replaced = through({at_node}, [&](const Tensors&) { return Tensors{sent}; })[0];
    (alone ? replaced + one_value() : replaced + at_node).backward();
    REQUIRE(arrived.size() == 1);
    CHECK(arrived[0].is_alias_of(sent) == alone);
    CHECK(arrived[0].item<double>() == (alone ? 3 : 4));
    CHECK(sent.item<double>() == 3);  // nothing is added into a tensor that someone holds
  }
}

TEST_CASE("LibTorch: a hook of a node sees a gradient for each of its outputs, undefined where none came") {
  const Tensor p = torch::ones({3}, torch::dtype(torch::kDouble).requires_grad(true));
  const Tensors parts = p.unbind();
  Tensors arrived;
  REQUIRE(gradient_edge(parts[1]).input_nr == 1);
  gradient_edge(parts[1]).function->add_pre_hook(std::make_unique<Keeps>(arrived));
  (parts[1] * 5).backward();
  REQUIRE(arrived.size() == 3);
  CHECK(arrived[1].item<double>() == 5);
  CHECK_FALSE(arrived[0].defined());
  CHECK_FALSE(arrived[2].defined());
}

TEST_CASE("LibTorch: a hook of a leaf sees the sum of all gradients, once, with no gradient recorded") {
  const Tensor p = one_value();
  Tensors arrived;
  p.register_hook([&](const Tensor& gradient) {
    arrived.push_back(gradient);
    return gradient;
  });
  (p * 2 + (p * 3).exp() * 0 + p).backward();
  REQUIRE(arrived.size() == 1);
  CHECK(arrived[0].item<double>() == 3);
  CHECK_FALSE(arrived[0].requires_grad());
}

TEST_CASE("LibTorch: an undefined gradient accumulates nothing, however far upstream") {
  const Tensor p = one_value();
  const Tensor q = one_value();
  const Tensors out = through({(p * 2).sin(), q * 2}, [](const Tensors& gradients) { return Tensors{Tensor(), gradients[1]}; });
  (out[0] + out[1]).backward();
  CHECK_FALSE(p.grad().defined());
  CHECK(q.grad().item<double>() == 2);
}

TEST_CASE(
    "LibTorch: a node that is sent nothing runs and sends nothing on, and the first hook of a leaf may still give it something") {
  const Tensor w = torch::ones({2, 2}, torch::dtype(torch::kDouble).requires_grad(true));
  int hooked = 0;
  w.register_hook([&](const Tensor& gradient) {
    ++hooked;
    CHECK(gradient.sum().item<double>() == 28);
  });
  struct Gives : fuller::detail::FunctionPreHook {
    explicit Gives(Tensors& came) : came_(came) {}
    Tensors operator()(const Tensors& gradients) override {
      came_ = gradients;
      return {torch::full({2, 2}, 7.0, torch::kDouble)};
    }
    Tensors& came_;
  };
  Tensors came{one_value()};
  bool passed = false;
  const Tensor below = through({torch::mm(w, w).tanh()}, [&](const Tensors& gradients) {
    passed = !gradients[0].defined();
    return gradients;
  })[0];
  const Tensor z = through({torch::softmax(below, 1)}, [](const Tensors&) { return Tensors{Tensor()}; })[0];
  auto& hooks = fuller::detail::first_hooks_of(w, gradient_edge(w));
  hooks.insert(hooks.begin(), std::make_unique<Gives>(came));
  z.sum().backward();
  CHECK(passed);
  REQUIRE(came.size() == 1);
  CHECK_FALSE(came[0].defined());
  CHECK(hooked == 1);
  CHECK(w.grad().equal(torch::full({2, 2}, 7.0, torch::kDouble)));
}

TEST_CASE("LibTorch: what is put in as .grad while a backward runs is what that backward accumulates into") {
  const Tensor p = one_value();
  const Tensor earlier = torch::full({1}, 100.0, torch::kDouble);
  p.mutable_grad() = earlier;
  seen(p * 2, [&] { p.mutable_grad() = Tensor(); }).backward();
  REQUIRE(p.grad().defined());
  CHECK(p.grad().item<double>() == 2);
  CHECK(earlier.item<double>() == 100);
  p.mutable_grad() = Tensor();
  seen(p * 2, [&] { p.mutable_grad() = earlier; }).backward();
  CHECK(p.grad().item<double>() == 102);
}

TEST_CASE("LibTorch: the gradients of what a concatenation reads are slices of one tensor, in its order") {
  Tensor a = torch::ones({2, 3, 2}, torch::requires_grad());
  Tensor b = torch::ones({2, 4, 2}, torch::requires_grad());
  Tensors arrived;
  const Tensors branches = through({a, b}, [&](const Tensors& gradients) {
    arrived = gradients;
    return gradients;
  });
  const Tensor joined = at::cat(branches, 1);
  joined.backward(torch::ones_like(joined) * 2);
  REQUIRE(arrived.size() == 2);
  CHECK(arrived[0].is_alias_of(arrived[1]));
  CHECK(arrived[0].strides() == arrived[1].strides());
  CHECK(arrived[1].storage_offset() - arrived[0].storage_offset() == 3 * arrived[0].stride(1));
}

TEST_CASE("LibTorch: gradients are recorded in a backward exactly where create_graph asks for it") {
  bool recorded = true;
  const Tensor p = one_value();
  const Tensor loss = seen(p * 2, [&] { recorded = at::GradMode::is_enabled(); });
  loss.backward({}, /*retain_graph=*/true);
  CHECK_FALSE(recorded);
  torch::autograd::grad({loss}, {p}, {}, /*retain_graph=*/true, /*create_graph=*/true);
  CHECK(recorded);
}

TEST_CASE("LibTorch: an exception leaves backward() as the very type that a node, a hook or a callback threw") {
  struct Thrown : std::runtime_error {
    using std::runtime_error::runtime_error;
  };
  const Tensor p = one_value();
  const auto thrower = [] { throw Thrown("out"); };
  CHECK_THROWS_AS(seen(seen(p * 2, thrower) * 2, [] {}).backward(), Thrown);
  CHECK_THROWS_AS(seen(p * 2, [&] { fuller::detail::at_very_end_of_backward(thrower); }).backward(), Thrown);
  p.register_hook([&](const Tensor&) { thrower(); });
  CHECK_THROWS_AS((p * 2).backward(), Thrown);
}

TEST_CASE("LibTorch: two backwards of one retained graph, and one that threw, are three that run") {
  const Tensor p = one_value();
  std::vector<std::weak_ptr<const Running>> runs;
  bool throws = false;
  bool is_one = true;
  const Tensor upstream = seen(p * 2, [&] {
    is_one = is_one && Running::is(runs.back());
    if (throws) {
      throw std::runtime_error("out");
    }
  });
  const Tensor loss = seen(upstream * 2, [&] {
    for (const auto& earlier : runs) {
      is_one = is_one && !Running::is(earlier);
    }
    runs.emplace_back(Running::now());
  });
  loss.backward({}, true);
  throws = true;
  CHECK_THROWS(loss.backward({}, true));
  throws = false;
  loss.backward({}, true);
  CHECK(is_one);
  REQUIRE(runs.size() == 3);
  for (const auto& run : runs) {
    CHECK(run.expired());
  }
  CHECK(Running::now() == nullptr);
}

TEST_CASE("LibTorch: a custom function's node, and what it saved, dies with the last tensor that leads to it, no sooner") {
  const Tensor p = one_value();
  std::weak_ptr<int> saved;
  Tensor loss = Saves::apply(p * 2, &saved) * 2;
  CHECK_FALSE(saved.expired());
  loss.backward();
  CHECK_FALSE(saved.expired());
  loss = Tensor();
  CHECK(saved.expired());
}
