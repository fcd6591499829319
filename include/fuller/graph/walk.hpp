// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstring>
#include <typeinfo>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/edge.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/version.h>

#include <fuller/graph/node_set.hpp>

namespace fuller::detail {

using torch::autograd::Edge;
using torch::autograd::Node;

/// The leaf tensor whose gradient `node` accumulates, or null for any other node.
inline const at::Tensor* leaf_of(const Node* node) {
  if (!node->next_edges().empty()) {  // a leaf ends the graph; asking this first spares most casts
    return nullptr;
  }
  const auto* accumulate = dynamic_cast<const torch::autograd::AccumulateGrad*>(node);
  return accumulate == nullptr ? nullptr : &accumulate->variable;
}

/// Where the engine delivers the gradient of `tensor`: its producer's output, or the accumulation node of a leaf.
inline Edge gradient_edge(const at::Tensor& tensor) { return torch::autograd::impl::gradient_edge(tensor); }

/// A gate's node joins branches that have nothing to do with each other: what goes in at slot k comes out at edge k. Whoever asks
/// what a loss reaches asks for that edge alone.
class JoinedBranches {
 public:
  JoinedBranches() { ++alive(); }
  ~JoinedBranches() { --alive(); }
  JoinedBranches(const JoinedBranches&) : JoinedBranches() {}
  JoinedBranches& operator=(const JoinedBranches&) = default;

  /// Whether the node is one of a gate; looked at only while there are gates, since it takes a moment.
  static bool is(const Node& node) {
    if (alive() == 0) {
      return false;
    }
    thread_local std::vector<std::pair<const std::type_info*, bool>> known;
    const std::type_info& type = typeid(node);
    for (const auto& [one, joins] : known) {
      if (one == &type) {
        return joins;
      }
    }
    known.emplace_back(&type, std::strstr(type.name(), "6fuller6detail10BranchGate") != nullptr);
    return known.back().second;
  }

 private:
  static std::atomic<int>& alive() {
    static std::atomic<int> gates{0};
    return gates;
  }
};

/// Visits `start` and each edge behind it, towards the inputs; `visit(edge)` returns false to go no further there. The edges of a
/// node are walked once, and not at all where it is in `seen`, which holds the walked nodes in the end; of a gate, those alone of
/// the branches that are read.
template <class Visit>
void walk(const Edge& start, NodeSet& seen, Visit visit) {
  std::vector<const Node*> open;
  const auto enter = [&](const Edge& first) {
    const Edge* edge = &first;
    while (edge->function && visit(*edge)) {
      const Node* node = edge->function.get();
      const bool is_new = seen.insert(node);
      if (!JoinedBranches::is(*node) || edge->input_nr >= node->next_edges().size()) {
        if (is_new) {
          open.push_back(node);
        }
        return;
      }
      edge = &node->next_edges()[edge->input_nr];
    }
  };
  enter(start);
  while (!open.empty()) {
    const Node* node = open.back();
    open.pop_back();
    for (const Edge& edge : node->next_edges()) {
      enter(edge);
    }
  }
}

/// walk() of its own.
template <class Visit>
void walk(const Edge& start, Visit visit) {
  NodeSet seen;
  walk(start, seen, std::move(visit));
}

/// Whether a tensor hook may change the gradient that arrives at a node.
inline bool has_hooks(Node& node) {
#if TORCH_VERSION_MAJOR >= 2
  if (!node.tensor_pre_hooks().empty()) {
    return true;
  }
#endif
  return !node.pre_hooks().empty();
}

/// Whether a node is an autograd function that neither LibTorch nor fuller wrote, and so may run a checkpoint.
///
/// The answer is the type's, and reading its name takes a while: it is remembered.
inline bool is_custom(const Node& node) {
  thread_local std::vector<std::pair<const std::type_info*, bool>> known;
  const std::type_info& type = typeid(node);
  for (const auto& [one, custom] : known) {
    if (one == &type) {
      return custom;
    }
  }
  const bool is_function =
      std::strstr(type.name(), "CppNode") != nullptr && std::strstr(type.name(), "6fuller6detail") == nullptr;
  const bool custom = is_function || std::strstr(type.name(), "N5torch") == nullptr;
  known.emplace_back(&type, custom);
  return custom;
}

}  // namespace fuller::detail
