// SPDX-License-Identifier: Apache-2.0
// What fuller/graph/libtorch.hpp takes for granted of passes that it starts itself, of sequence numbers, and of parameters'
// hooks. See libtorch_assumptions_test.cpp.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <fuller/graph/libtorch.hpp>

#include "support/catch.hpp"
#include "support/probe.hpp"

using namespace fuller::detail;
using fuller::testing::node_of;
using fuller::testing::number;
using fuller::testing::Probe;
using fuller::testing::value_of;
using torch::Tensor;
using Tensors = std::vector<Tensor>;

namespace {

/// A pre-hook that multiplies.
struct Times : FunctionPreHook {
  explicit Times(double factor) : factor_(factor) {}
  Gradients operator()(const Gradients& gradients) override { return {gradients[0] * factor_}; }
  double factor_;
};

}  // namespace

// --- passes of our own
// ------------------------------------------------------------------------------------------------------------

TEST_CASE("LibTorch: a node that is called outside of the engine gives what it gives inside, and keeps what it has saved") {
  torch::manual_seed(3);
  const Tensor a = torch::randn({4, 3}, torch::kDouble).requires_grad_();
  const Tensor b = torch::randn({3, 5}, torch::kDouble).requires_grad_();
  const Tensor y = a.mm(b);
  const Tensor seed = torch::randn({4, 5}, torch::kDouble);
  Node& node = *y.grad_fn();
  for (int k = 0; k < 2; ++k) {
    const torch::NoGradGuard as_in_a_backward;
    const Gradients got = run_alone(node, past_hooks(node, {seed}));
    REQUIRE(got.size() == 2);
    CHECK(torch::allclose(got[0], seed.mm(b.t())));
    CHECK(torch::allclose(got[1], a.t().mm(seed)));
  }
  CHECK_FALSE(a.grad().defined());
  y.backward(seed);
  CHECK(torch::allclose(a.grad(), seed.mm(b.t())));
  CHECK(runs_where_this_does(node));
}

TEST_CASE("LibTorch: a node that is called in a backward to some inputs gives the gradients that lead to those alone") {
  const Tensor w = number(3);
  const Tensor v = number(2);
  const Tensor product = w * v;
  Gradients got;
  const Probe::Call call = [&] {
    const torch::NoGradGuard as_in_a_backward;
    got = run_alone(*product.grad_fn(), {torch::ones({}, torch::kDouble)});
  };
  const Tensor y = Probe::apply(product, &call);
  y.backward({}, /*retain_graph=*/true);
  CHECK(value_of(got[0]) == 2);
  CHECK(value_of(got[1]) == 3);
  torch::autograd::grad({y}, {w});
  CHECK(value_of(got[0]) == 2);
  CHECK_FALSE(got[1].defined());  // which is why tasks do not pass the trunk together there
}

TEST_CASE("LibTorch: where a gradient goes is known in shape and type: a broadcast is undone, a cast too") {
  const Tensor row = torch::zeros({3}, torch::kFloat).requires_grad_();
  const Tensor sum = torch::zeros({2, 3}, torch::kFloat) + row;
  const Edge to_row = sum.grad_fn()->next_edge(1);
  const Tensor fits = fitted(torch::tensor({{1.0, 2.0, 3.0}, {10.0, 20.0, 30.0}}, torch::kDouble), to_row);
  CHECK(fits.equal(torch::tensor({11.0F, 22.0F, 33.0F})));
  const Tensor complex = torch::complex(torch::ones({3}), torch::full({3}, 7.0));
  CHECK(fitted(complex, to_row).equal(torch::ones({3})));
}

TEST_CASE("LibTorch: execute() leaves .grad alone, keeps the graph, and gives undefined for unreached targets") {
  const Tensor w = number(3);
  const Tensor x = number(2);
  const Tensor z = w * x;
  const Tensor y = z.exp();
  const Tensor elsewhere = number(1);
  const Tensor seed = torch::tensor(0.5, torch::kDouble);
  for (int k = 0; k < 2; ++k) {
    const Tensors got =
        run_between({gradient_edge(y)}, {seed}, {gradient_edge(w), gradient_edge(elsewhere), gradient_edge(z), gradient_edge(x)});
    REQUIRE(got.size() == 4);
    CHECK(value_of(got[0]) == Approx(0.5 * std::exp(6) * 2));
    CHECK_FALSE(got[1].defined());
    CHECK(value_of(got[2]) == Approx(0.5 * std::exp(6)));
    CHECK(value_of(got[3]) == Approx(0.5 * std::exp(6) * 3));
    CHECK_FALSE(got[0].requires_grad());
  }
  CHECK_FALSE(w.grad().defined());
  CHECK_FALSE(x.grad().defined());
  y.backward();
  CHECK(value_of(w.grad()) == Approx(std::exp(6) * 2));
}

TEST_CASE("LibTorch: execute() runs only the nodes between roots and targets") {
  int upstream = 0;
  int beside = 0;
  int between = 0;
  const Probe::Call count_upstream = [&] { ++upstream; };
  const Probe::Call count_beside = [&] { ++beside; };
  const Probe::Call count_between = [&] { ++between; };
  const Tensor z = Probe::apply(number(3) * 2, &count_upstream) * 2;
  const Tensor y = Probe::apply(z * 1, &count_between) + Probe::apply(number(1) * 1, &count_beside);
  const Tensor got = run_between({gradient_edge(y)}, {torch::ones({}, torch::kDouble)}, {gradient_edge(z)})[0];
  CHECK(value_of(got) == 1);
  CHECK(between == 1);
  CHECK(upstream == 0);
  CHECK(beside == 0);
}

TEST_CASE("LibTorch: execute() may be called in a running backward, over nodes that the backward has still to pass") {
  const Tensor w = number(3);
  const Tensor z = w * 2;
  Tensor got;
  const Probe::Call look = [&] {
    got = run_between({gradient_edge(z)}, {torch::tensor(10.0, torch::kDouble)}, {gradient_edge(w)})[0];
    CHECK(is_in_backward(node_of(w)));
  };
  Probe::apply(z, &look).backward();
  CHECK(value_of(got) == 20);
  CHECK(value_of(w.grad()) == 2);
}

// --- sequence numbers
// -------------------------------------------------------------------------------------------------------------

TEST_CASE("LibTorch: the sequence number rises by one with each node that this thread makes, but for a leaf's") {
  const Tensor w = number(3);
  const std::uint64_t before = nodes_made();
  const Tensor y = (w * 2).exp();
  CHECK(nodes_made() == before + 2);
  {
    const torch::NoGradGuard no_grad;
    static_cast<void>(y * 2);
  }
  CHECK(nodes_made() == before + 2);
  std::thread([&] { static_cast<void>(w * 2); }).join();
  CHECK(nodes_made() == before + 2);
}

TEST_CASE("LibTorch: the sequence number rises in no backward, but where a checkpoint in it runs its forward again") {
  const Tensor w = torch::ones({1, 2, 3, 3}, torch::kDouble).set_requires_grad(true);
  const Tensor kernel = torch::ones({1, 2, 2, 2}, torch::kDouble).set_requires_grad(true);
  const Tensor matrix = torch::ones({4, 4}, torch::kDouble).set_requires_grad(true);
  std::uint64_t before = 0;
  std::uint64_t after = 0;
  bool checkpoints = false;
  const Probe::Call start = [&] { before = nodes_made(); };
  const Probe::Call end = [&] {
    if (checkpoints) {
      const torch::AutoGradMode on(true);
      (number(1) * 2).backward();
    }
    after = nodes_made();
  };
  for (const bool in_one : {false, true}) {
    checkpoints = in_one;
    Tensor z = Probe::apply(w * 1, &end);
    z = torch::conv2d(z, kernel).reshape({1, 4}).matmul(matrix).tanh().softmax(1);
    z = torch::layer_norm(z, {4}) / z.norm();
    Probe::apply(z.pow(2).mean(), &start).backward();
    CHECK(before != 0);
    CHECK((after - before > 0) == in_one);
  }
}

TEST_CASE("LibTorch: the sequence number rises by one where the engine joins several roots, by none for one") {
  const Tensor w = number(3);
  const Tensors roots{w * 2, w.exp(), w.tanh()};
  for (std::size_t count = 1; count <= roots.size(); ++count) {
    std::vector<Edge> edges;
    Tensors seeds;
    for (std::size_t k = 0; k < count; ++k) {
      edges.push_back(gradient_edge(roots[k]));
      seeds.push_back(torch::ones({}, torch::kDouble));
    }
    const std::uint64_t before = nodes_made();
    run_between(edges, seeds, {gradient_edge(w)});
    CHECK(nodes_made() - before == engine_nodes(seeds));
    CHECK(nodes_made() - before == (count > 1 ? 1 : 0));
  }
}

// --- hooks of parameters
// ------------------------------------------------------------------------------------------------------------

TEST_CASE("LibTorch: a parameter's pre-hooks run first and may be put in and taken out in a running backward") {
  const Tensor w = number(3);
  double users = 0;
  w.register_hook([&](const Tensor& gradient) { users = value_of(gradient); });
  const Edge leaf = gradient_edge(w);
  bool puts_in = true;
  const Probe::Call look = [&] {
    if (!puts_in) {
      return;
    }
    auto& hooks = first_hooks_of(w, leaf);
    auto hook = std::make_unique<Times>(10);
    const FunctionPreHook* ours = hook.get();
    hooks.insert(hooks.begin(), std::move(hook));
    at_end_of_backward([&w, &leaf, ours] {
      auto& now = first_hooks_of(w, leaf);
      now.erase(std::remove_if(now.begin(), now.end(), [&](const auto& one) { return one.get() == ours; }), now.end());
    });
  };
  const Tensor y = Probe::apply(w * 2, &look);
  y.backward({}, /*retain_graph=*/true);
  CHECK(users == 20);
  CHECK(value_of(w.grad()) == 20);
  puts_in = false;
  w.mutable_grad() = Tensor();
  y.backward();
  CHECK(users == 2);
  CHECK(value_of(w.grad()) == 2);
}

TEST_CASE("LibTorch: what a running backward captures at a leaf passes a hook that was put in there") {
  const Tensor w = number(3);
  const Edge leaf = gradient_edge(w);
  const Probe::Call look = [&] {
    auto& hooks = first_hooks_of(w, leaf);
    hooks.insert(hooks.begin(), std::make_unique<Times>(10));
    hook_captures(leaf, [] { return std::make_unique<Times>(10); });
  };
  const Tensors captured = torch::autograd::grad({Probe::apply(w * 2, &look)}, {w});
  CHECK(value_of(captured[0]) == 20);
}

TEST_CASE("LibTorch: hooks that were taken out see no captured gradient, and put back the next one") {
  const Tensor w = number(3);
  int calls = 0;
  w.register_hook([&](const Tensor& gradient) {
    ++calls;
    return gradient * 10;
  });
  const Tensor y = w * 2;
  {
    const HooksAside aside({w});
    const Tensor got = run_between({gradient_edge(y)}, {torch::ones({}, torch::kDouble)}, {gradient_edge(w)})[0];
    CHECK(value_of(got) == 2);
    CHECK(calls == 0);
  }
  y.backward();
  CHECK(calls == 1);
  CHECK(value_of(w.grad()) == 20);
}

TEST_CASE("LibTorch: a node tells of all that is called with what arrives at it or leaves it") {
  const Tensor w = number(3);
  const auto node_of_product = [](const Tensor& y) { return gradient_edge(y).function; };
  const Tensor y = w * 2;
  CHECK_FALSE(is_watched(*node_of_product(y)));
  y.register_hook([](const Tensor& gradient) { return gradient; });
  CHECK(is_watched(*node_of_product(y)));
  const Tensor kept = w * 2;
  kept.retain_grad();
  CHECK(is_watched(*node_of_product(kept)));
  struct After : torch::autograd::FunctionPostHook {
    Gradients operator()(const Gradients& out, const Gradients& /*in*/) override { return out; }
  };
  const Tensor before = w * 2;
  node_of_product(before)->add_pre_hook(std::make_unique<Times>(1));
  CHECK(is_watched(*node_of_product(before)));
  const Tensor after = w * 2;
  node_of_product(after)->add_post_hook(std::make_unique<After>());
  CHECK(is_watched(*node_of_product(after)));
}

TEST_CASE("LibTorch: the record of a backward to some inputs alone lists what it executes, and that of a whole one nothing") {
  const Tensor w = number(3);
  const Tensor v = number(2);
  bool restricted = true;
  const Probe::Call look = [&] { restricted = is_restricted_backward(); };
  CHECK_FALSE(is_restricted_backward());
  Probe::apply(w * v, &look).backward();
  CHECK_FALSE(restricted);
  Probe::apply(w * v, &look).backward({}, false, false, Tensors{w});
  CHECK(restricted);
  restricted = false;
  torch::autograd::grad({Probe::apply(w * v, &look)}, {w});
  CHECK(restricted);
}

TEST_CASE("LibTorch: the record of a backward says whether the graph is kept, and nodes let go of what they saved when told to") {
  const Tensor w = number(3);
  bool kept = false;
  const Probe::Call look = [&] { kept = keeps_graph(); };
  const Tensor y = Probe::apply((w * w).exp(), &look);
  y.backward({}, /*retain_graph=*/true);
  CHECK(kept);
  y.backward();
  CHECK_FALSE(kept);
  const Tensor z = w.exp();
  z.grad_fn()->release_variables();
  CHECK_THROWS_WITH(z.backward(), Catch::Contains("second time"));
}

TEST_CASE("LibTorch: the record's dependencies_ and not_ready_ tell whether the node that runs is a leaf's only sender") {
  const Tensor w = number(3);
  const Tensor v = number(2);
  std::vector<bool> alone;
  const Probe::Call look = [&] { alone = {is_fed_by_this_alone(node_of(w)), is_fed_by_this_alone(node_of(v))}; };
  const Tensor before = w * 4;
  const Tensor probed = Probe::apply(w, &look);
  (probed * v).backward();
  CHECK(alone == std::vector<bool>{true, false});  // the product has sent to v already
  (probed + before).backward();
  CHECK(alone == std::vector<bool>{false, false});  // the term that was made first has still to come
  (Probe::apply(w, &look) + w * 4).backward();
  CHECK(alone == std::vector<bool>{false, false});  // and the one made last was first
}

TEST_CASE("LibTorch: a pass that begins at leaves accumulates there past their hooks, also at the end of a backward") {
  const Tensor w = number(3);
  const Tensor v = number(2);
  int hooks = 0;
  w.register_hook([&](const Tensor& gradient) {
    ++hooks;
    return gradient * 2;
  });
  const Probe::Call look = [&] {
    at_end_of_backward([&] {
      run_into_leaves({gradient_edge(w), gradient_edge(v)},
                      {torch::tensor(5.0, torch::kDouble), torch::tensor(7.0, torch::kDouble)});
    });
  };
  Probe::apply(number(1) * v, &look).backward();
  CHECK(hooks == 1);
  CHECK(value_of(w.grad()) == 10);
  CHECK(value_of(v.grad()) == 8);
}

#if TORCH_VERSION_MAJOR >= 2
TEST_CASE("LibTorch calls a leaf's hooks also where nothing comes, from 2.0 on, which is why they are set aside") {
  const Tensor w = number(3);
  std::vector<bool> seen;
  w.register_hook([&](const Tensor& gradient) {
    seen.push_back(gradient.defined());
    return gradient;
  });
  struct Nothing : torch::autograd::Function<Nothing> {
    static Tensor forward(torch::autograd::AutogradContext* /*context*/, const Tensor& x) { return x.clone(); }
    static Tensors backward(torch::autograd::AutogradContext* /*context*/, const Tensors& /*gradients*/) { return {Tensor()}; }
  };
  Nothing::apply(w).backward();
  CHECK(seen == std::vector<bool>{false});
  {
    const HooksAside aside({w});
    Nothing::apply(w).backward();
  }
  CHECK(seen.size() == 1);
}
#endif
