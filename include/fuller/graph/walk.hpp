// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <utility>
#include <vector>

#include <fuller/graph/libtorch.hpp>
#include <fuller/graph/libtorch_nodes.hpp>
#include <fuller/graph/node_set.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

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
    return is_branch_gate(node);
  }

 private:
  static std::atomic<int>& alive() {
    static std::atomic<int> gates{0};
    return gates;
  }
};

/// Visits `start` and each edge upstream of it; `visit(edge)` returns false to go no further there. The edges of a
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

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
