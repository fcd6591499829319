// SPDX-License-Identifier: Apache-2.0
// What fuller/graph/libtorch.hpp takes for granted of LibTorch's engine, in no version of which it is promised: a case each, so
// that a new LibTorch that does otherwise fails by name. Knows nothing of calibration.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_set>
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

/// All nodes that a backward from `tensor` can reach, its own among them.
std::unordered_set<const Node*> graph_of(const Tensor& tensor) {
  std::unordered_set<const Node*> found{node_of(tensor)};
  std::vector<const Node*> open{node_of(tensor)};
  while (!open.empty()) {
    const Node* node = open.back();
    open.pop_back();
    for (const Edge& edge : node->next_edges()) {
      if (edge.function && found.insert(edge.function.get()).second) {
        open.push_back(edge.function.get());
      }
    }
  }
  return found;
}

std::unordered_set<const Node*> listed() {
  const auto* nodes = nodes_of_backward();
  return nodes == nullptr ? std::unordered_set<const Node*>() : std::unordered_set<const Node*>(nodes->begin(), nodes->end());
}

/// Two outputs, x and 2 x, whose backward notes what it gets.
struct Two : torch::autograd::Function<Two> {
  struct Seen {
    int calls = 0;
    std::vector<bool> defined;
  };
  static Gradients forward(torch::autograd::AutogradContext* context, const Tensor& x, Seen* seen) {
    context->set_materialize_grads(false);
    context->saved_data["seen"] = reinterpret_cast<std::int64_t>(seen);
    return {x.clone(), x * 2};
  }
  static Gradients backward(torch::autograd::AutogradContext* context, const Gradients& gradients) {
    auto* seen = reinterpret_cast<Seen*>(context->saved_data["seen"].toInt());
    ++seen->calls;
    seen->defined.clear();
    Tensor sum;
    for (const Tensor& gradient : gradients) {
      seen->defined.push_back(gradient.defined());
      if (gradient.defined()) {
        sum = sum.defined() ? sum + gradient : gradient;
      }
    }
    return {sum, Tensor()};
  }
};

}  // namespace

// --- nodes and edges
// ----------------------------------------------------------------------------------------------------------------

TEST_CASE("LibTorch: a leaf has one node, without edges, that holds the leaf") {
  const Tensor w = number(3);
  const Tensor y = w * 2;
  const Edge leaf = gradient_edge(w);
  REQUIRE(leaf.function != nullptr);
  CHECK(y.grad_fn()->next_edge(0).function == leaf.function);
  CHECK(gradient_edge(w).function == leaf.function);
  CHECK(leaf.function->next_edges().empty());
  const Tensor* held = leaf_of(leaf.function.get());
  REQUIRE(held != nullptr);
  CHECK(held->is_same(w));
  CHECK(leaf_of(y.grad_fn().get()) == nullptr);
}

TEST_CASE("LibTorch: a tensor's gradient arrives at its producer, at the number of the output that it is") {
  const Tensors parts = torch::ones({4}).set_requires_grad(true).chunk(2);
  const Edge edge = gradient_edge(parts[1]);
  CHECK(edge.function == parts[1].grad_fn());
  CHECK(edge.function == gradient_edge(parts[0]).function);
  CHECK(edge.input_nr == 1);
}

TEST_CASE("LibTorch: the node of a custom function is a CppNode of that function") {
  const Probe::Call nothing = [] {};
  const Tensor y = Probe::apply(number(1), &nothing);
  CHECK(is_node_of<Probe>(*y.grad_fn()));
  CHECK_FALSE(is_node_of<Two>(*y.grad_fn()));
  CHECK_FALSE(is_node_of<Probe>(*(y * 2).grad_fn()));
}

TEST_CASE("LibTorch: a node tells of the tensor hooks on its output") {
  const Tensor y = number(1) * 2;
  CHECK_FALSE(has_hooks(*y.grad_fn()));
  y.register_hook([](const Tensor& gradient) { return gradient * 2; });
  CHECK(has_hooks(*y.grad_fn()));
}

TEST_CASE("LibTorch: topological_nr is 0 at leaves and grows with every edge away from them") {
  const Tensor w = number(3);
  Tensor y = w * number(2);
  for (int k = 0; k < 5; ++k) {
    y = y.tanh() + w;  // ways of all lengths back to w
  }
  int edges = 0;
  for (const Node* node : graph_of(y)) {
    if (leaf_of(node) != nullptr) {
      CHECK(node->topological_nr() == 0);
    }
    for (const Edge& edge : node->next_edges()) {
      if (edge.function) {
        ++edges;
        CHECK(node->topological_nr() > edge.function->topological_nr());
      }
    }
  }
  CHECK(edges == 2 + 5 * 3);
  CHECK(y.grad_fn()->topological_nr() == 11);  // the longest way
}

TEST_CASE("LibTorch: a custom function's backward runs once, with undefined slots for outputs without a gradient") {
  Two::Seen seen;
  const Tensor w = number(3);
  const Tensors both = Two::apply(w, &seen);
  (both[0] * 5).backward({}, /*retain_graph=*/true);
  CHECK(seen.calls == 1);
  CHECK(seen.defined == std::vector<bool>{true, false});
  CHECK(value_of(w.grad()) == 5);
  (both[1] * 7).backward({}, /*retain_graph=*/true);
  CHECK(seen.calls == 2);
  CHECK(seen.defined == std::vector<bool>{false, true});
  (both[0] * 5 + both[1].exp() * both[0]).backward();
  CHECK(seen.calls == 3);
  CHECK(seen.defined == std::vector<bool>{true, true});
}

// --- the running backward
// ---------------------------------------------------------------------------------------------------------

TEST_CASE("LibTorch: the backward of CPU tensors runs in the thread that calls it") {
  std::thread::id id;
  const Probe::Call look = [&] { id = std::this_thread::get_id(); };
  Probe::apply(number(1) * 2, &look).backward();
  CHECK(id == std::this_thread::get_id());
}

TEST_CASE("LibTorch gives out the nodes of the running backward, but for its roots") {
  CHECK(nodes_of_backward() == nullptr);
  std::unordered_set<const Node*> found;
  const Probe::Call look = [&] { found = listed(); };
  const Tensor w = number(3);
  const Tensor z = w * number(2);
  const Tensor other = number(5);
  const Tensor y = Probe::apply(z, &look) * other + z.tanh();
  std::unordered_set<const Node*> expected = graph_of(y);
  CHECK(expected.erase(node_of(y)) == 1);
  y.backward({}, /*retain_graph=*/true);
  CHECK(found == expected);
  // From several roots, all that is upstream of them.
  found.clear();
  const Tensor second = other * 4;
  torch::autograd::backward({y, second}, {}, /*retain_graph=*/true);
  expected.insert(node_of(other));
  for (const Node* node : expected) {
    CHECK(found.count(node) == 1);
  }
  CHECK(nodes_of_backward() == nullptr);
}

TEST_CASE("LibTorch keeps the nodes' set in one place while a backward runs, and apart from that of a nested one") {
  std::vector<const void*> outer;
  std::vector<const void*> inner;
  bool outer_in_inner = true;
  const Tensor w = number(3);
  const Probe::Call look_inside = [&] {
    inner.push_back(nodes_of_backward());
    outer_in_inner = is_in_backward(node_of(w));
  };
  const Probe::Call look = [&] {
    outer.push_back(nodes_of_backward());
    const torch::AutoGradMode on(true);
    Probe::apply(number(1) * 2, &look_inside).backward();
    outer.push_back(nodes_of_backward());
    CHECK(is_in_backward(node_of(w)));
  };
  Probe::apply(Probe::apply(w * 2, &look) * 2, &look).backward();
  REQUIRE(outer.size() == 4);
  CHECK(outer[0] != nullptr);
  CHECK(std::count(outer.begin(), outer.end(), outer[0]) == 4);
  REQUIRE(inner.size() == 2);
  CHECK(inner[0] != nullptr);
  CHECK(inner[0] != outer[0]);
  CHECK_FALSE(outer_in_inner);
}

TEST_CASE("LibTorch: the nodes' set is a member of the engine's record of this backward") {
  for (const bool keeps : {true, false}) {
    int looks = 0;
    std::size_t captures = 0;
    const Probe::Call look = [&] {
      ++looks;
      const torch::autograd::GraphTask& task = task_of(*nodes_of_backward());
      CHECK(task.keep_graph_ == keeps);
      CHECK(task.captured_vars_.size() == captures);
      CHECK(task.exec_info_.empty() == (captures == 0));
    };
    Probe::apply(number(1) * 2, &look).backward({}, keeps);
    const Tensors leaves{number(1), number(2), number(3)};
    captures = leaves.size();
    torch::autograd::grad({Probe::apply(leaves[0] * leaves[1] * leaves[2], &look)}, leaves, {}, keeps);
    CHECK(looks == 2);
  }
}

TEST_CASE("LibTorch: the record's lock is free while a node runs") {
  bool is_free = false;
  const Probe::Call look = [&] {
    std::mutex& mutex = task_of(*nodes_of_backward()).mutex_;
    std::thread([&] {
      is_free = mutex.try_lock();
      if (is_free) {
        mutex.unlock();
      }
    }).join();
  };
  Probe::apply(number(1) * 2, &look).backward();
  CHECK(is_free);
}

TEST_CASE("LibTorch: the record's not_ready_ shows what has been sent a part and waits for more") {
  std::vector<const Node*> first;
  std::vector<const Node*> second;
  std::vector<const Node*> nested{nullptr};
  const Probe::Call look_inside = [&] { nested = waiting_nodes(); };
  const Probe::Call look_first = [&] { first = waiting_nodes(); };
  const Probe::Call look_second = [&] {
    second = waiting_nodes();
    const torch::AutoGradMode on(true);
    Probe::apply(number(1) * 2, &look_inside).backward();
  };
  const Tensor z = number(3) * 2;
  const Tensor slow = Probe::apply(z, &look_second);
  const Tensor fast = z.tanh();  // made later, so it runs earlier
  Probe::apply(slow + fast, &look_first).backward();
  CHECK(first.empty());
  CHECK(second == std::vector<const Node*>{node_of(z)});
  CHECK(nested.empty());
}

TEST_CASE("LibTorch: the record's not_ready_ shows what roots have sent") {
  std::vector<const Node*> seen;
  const Probe::Call look = [&] { seen = waiting_nodes(); };
  const Tensor w = number(3);
  const Tensor y = Probe::apply(w * 2, &look) + w;  // the root sends into the leaf itself
  y.backward({}, /*retain_graph=*/true);
  CHECK(seen == std::vector<const Node*>{node_of(w)});
  // The same where the engine joins two.
  seen.clear();
  torch::autograd::backward({y, w.tanh()}, {});
  CHECK(seen == std::vector<const Node*>{node_of(w)});
}

TEST_CASE("LibTorch: nodes run in the falling order of their making, and a leaf's before all others that are ready") {
  std::string order;
  const auto notes = [&](const char* name) { return Probe::Call([&order, name] { order += name; }); };
  const Probe::Call a = notes("a");
  const Probe::Call b = notes("b");
  const Probe::Call c = notes("c");
  const Tensor w = number(3);
  w.register_hook([&](const Tensor&) { order += "w"; });
  const Tensor z = number(2) * 3;
  const Tensor from_a = Probe::apply(z, &a);
  const Tensor from_c = Probe::apply(z, &c);
  const Tensor from_b = Probe::apply(from_a * 2, &b);
  (from_b * w + from_c).backward();
  CHECK(order == "wbca");
}

TEST_CASE("LibTorch: a leaf's hooks have run before a node upstream of it on one queue, and the record's dependencies_ tell") {
  const Tensor x = number(2);
  const Tensor w = number(3);
  int hooks = 0;
  w.register_hook([&](const Tensor&) { ++hooks; });
  int hooks_before = -1;
  std::vector<bool> arrived;
  const Probe::Call look = [&] {
    hooks_before = hooks;
    arrived = {has_arrived(node_of(w)), has_arrived(node_of(x))};
  };
  const Tensor y = Probe::apply(x * 2, &look) * w;
  y.backward({}, /*retain_graph=*/true);
  CHECK(hooks_before == 1);
  CHECK(arrived == std::vector<bool>{true, false});
  CHECK_FALSE(has_arrived(node_of(w)));  // no backward runs
  // Read once more further back, something has been sent and more is to come.
  const Tensor again = Probe::apply(x * w, &look) * w;
  hooks = 0;
  again.backward();
  CHECK(hooks_before == 0);
  CHECK(arrived == std::vector<bool>{false, false});
  CHECK(hooks == 1);
  // Accumulated into by name.
  hooks = 0;
  y.backward({}, /*retain_graph=*/true, /*create_graph=*/false, {{w, x}});
  CHECK(hooks_before == 1);
  CHECK(arrived == std::vector<bool>{true, false});
  // Not among the inputs.
  hooks = 0;
  y.backward({}, /*retain_graph=*/true, /*create_graph=*/false, {{x}});
  CHECK(hooks_before == 0);
  CHECK(arrived == std::vector<bool>{false, false});
  CHECK(hooks == 0);
}

TEST_CASE("LibTorch: captures pass no hook before 2.0, and do after") {
#if TORCH_VERSION_MAJOR >= 2
  constexpr bool passes = true;
#else
  constexpr bool passes = false;
#endif
  const Tensor x = number(2);
  const Tensor w = number(3);
  w.register_hook([](const Tensor& gradient) { return gradient * 10; });
  bool arrived = !passes;
  const Probe::Call look = [&] { arrived = has_arrived(node_of(w)); };
  const Tensors captured = torch::autograd::grad({Probe::apply(x * 1, &look) * w}, {w, x});
  CHECK(value_of(captured[0]) == (passes ? 20 : 2));
  CHECK(value_of(captured[1]) == 3);
  CHECK(arrived == passes);
}

// --- callbacks
// --------------------------------------------------------------------------------------------------------------------

TEST_CASE("LibTorch: callbacks run when the backward is through, in order, before it returns") {
  std::string order;
  bool is_complete = false;
  const Tensor w = number(3);
  const Probe::Call look = [&] {
    at_end_of_backward([&] {
      is_complete = w.grad().defined();
      order += "a";
    });
    at_end_of_backward([&] { order += "b"; });
    CHECK(order.empty());
  };
  Probe::apply(w * 2, &look).backward();
  CHECK(order == "ab");
  CHECK(is_complete);
}

TEST_CASE("LibTorch: callbacks queued in a callback run after all that were queued by then") {
  std::string order;
  const Probe::Call look = [&] {
    at_very_end_of_backward([&] { order += "last"; });
    at_end_of_backward([&] { order += "a"; });
    at_end_of_backward([&] { order += "b"; });
  };
  Probe::apply(number(3) * 2, &look).backward();
  CHECK(order == "ablast");
}

TEST_CASE("LibTorch: callbacks queued in a nested backward run at its end") {
  std::string order;
  const Probe::Call look_inside = [&] { at_end_of_backward([&] { order += "inner "; }); };
  const Probe::Call look = [&] {
    at_end_of_backward([&] { order += "outer "; });
    const torch::AutoGradMode on(true);
    Probe::apply(number(1) * 2, &look_inside).backward();
    order += "through ";
  };
  Probe::apply(number(3) * 2, &look).backward();
  CHECK(order == "inner through outer ");
}

TEST_CASE("LibTorch: callbacks die unrun where the backward throws") {
  const auto token = std::make_shared<int>(0);
  bool ran = false;
  bool held = false;
  const Probe::Call fail = [] { throw std::runtime_error("boom"); };
  const Probe::Call look = [&] {
    at_end_of_backward([&ran, token] { ran = true; });
    held = token.use_count() > 1;
  };
  CHECK_THROWS_AS(Probe::apply(Probe::apply(number(3) * 2, &fail) * 2, &look).backward(), std::runtime_error);
  CHECK(held);
  CHECK_FALSE(ran);
  CHECK(token.use_count() == 1);
  const Probe::Call nothing = [] {};
  Probe::apply(number(3) * 2, &nothing).backward();  // nor with the next one
  CHECK_FALSE(ran);
  CHECK(nodes_of_backward() == nullptr);
}
