// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cstddef>
#include <sstream>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/graph/libtorch.hpp>
#include <fuller/graph/libtorch_nodes.hpp>
#include <fuller/graph/node_set.hpp>
#include <fuller/graph/walk.hpp>
#include <fuller/tensor/parameter_names.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// The leaves upstream of one output of a gate, which nothing else leads to.
struct LeavesOfBranch {
  const Node* gate = nullptr;
  std::size_t output = 0;
  std::vector<at::Tensor> leaves;
};

/// Whether sums of gradients that were formed at leaves can train what lies upstream of roots, put in there while the running
/// backward passes with nothing.
struct SumsAtLeaves {
  std::string why_not;                   ///< why a pass has to train it, in words; empty where the sums can
  std::vector<LeavesOfBranch> branches;  ///< whose sums wait for what a gate scales them by
};

/// A pass with nothing leaves no trace only where all nodes are plainly linear, nobody looks at what arrives between, and every
/// leaf gets its sum. Terms that enter upstream of the roots are no obstacle: what they send is added to. A gate's scale is known
/// before anything upstream of it runs, and is a factor of the sum of each leaf that is reached through one branch and no other
/// way.
/// @param passable  a node of fuller's that gives nothing where it is given nothing
inline SumsAtLeaves sums_at_leaves(const std::vector<Edge>& roots, const std::vector<Edge>& leaves, const ParameterNames& names,
                                   const Node* passable = nullptr) {
  if (is_restricted_backward()) {
    return {"the backward is one to some inputs alone", {}};
  }
  NodeSet given;
  for (const Edge& leaf : leaves) {
    given.insert(leaf.function.get());
  }
  SumsAtLeaves sums;
  std::vector<NodeSet> passed(1);  // past all gates, then through each branch of one
  std::ostringstream why;
  const auto forbid = [&](const std::string& what, Node& node) {
    const at::Tensor* leaf = leaf_of(&node);
    why << (leaf == nullptr ? what + ", at " + node.name() : called(names, *leaf) + " is " + what);
    return false;
  };
  const auto look = [&](const Edge& edge) {
    Node& node = *edge.function;
    if (why.tellp() != 0 || passed.back().contains(&node)) {
      return false;
    }
    if (std::any_of(passed.begin(), passed.end() - 1, [&](const NodeSet& other) { return other.contains(&node); })) {
      return forbid("reached through a gate and in another way", node);
    }
    const bool is_gate = is_branch_gate(node);
    const bool is_gated = passed.size() > 1;
    if ((is_gate || is_gated) && !runs_where_this_does(node)) {
      return forbid("gated on another device or stream", node);
    }
    if (const at::Tensor* leaf = leaf_of(&node)) {
      passed.back().insert(&node);
      if (!given.contains(&node)) {
        return forbid("trained too and is not compared", node);
      }
      if (is_gated) {
        sums.branches[passed.size() - 2].leaves.push_back(*leaf);
      }
      return false;
    }
    if (is_gate ? is_gated : &node != passable && !is_plainly_linear(node)) {
      return forbid(is_gate ? "one gate upstream of another" : "a function that is not LibTorch's own, or one in place on a view",
                    node);
    }
    if (is_watched(node)) {
      return forbid("a hook or retain_grad() on an activation", node);
    }
    if (is_gate) {
      const auto is_known = [&](const LeavesOfBranch& one) { return one.gate == &node && one.output == edge.input_nr; };
      if (std::none_of(sums.branches.begin(), sums.branches.end(), is_known)) {
        sums.branches.push_back({&node, edge.input_nr, {}});
      }
    }
    return !is_gate;
  };
  for (const Edge& root : roots) {
    walk(root, passed.front(), look);
  }
  for (std::size_t k = 0; k < sums.branches.size(); ++k) {
    passed.emplace_back();
    walk(sums.branches[k].gate->next_edge(sums.branches[k].output), passed.back(), look);
  }
  sums.why_not = why.str();
  return sums;
}

/// Why no pass for one task alone can do for what lies upstream of `roots`, in words; empty where it can: nobody looks at what
/// arrives between, and nothing there waits for the gradient of all tasks.
/// @param passable  a node of fuller's that sends on what it is given
inline std::string why_not_task_by_task(const std::vector<Edge>& roots, const Node* passable) {
  if (is_restricted_backward()) {
    return "the backward is one to some inputs alone";
  }
  NodeSet seen;
  std::string why;
  for (const Edge& root : roots) {
    walk(root, seen, [&](const Edge& edge) {
      Node& node = *edge.function;
      if (!why.empty() || seen.contains(&node) || leaf_of(&node) != nullptr) {
        return false;
      }
      if (is_branch_gate(node)) {
        why = "there are gates, which are set by the gradient of all tasks";
      } else if (&node != passable && is_fullers(node)) {
        why = "there is another node of fuller's, at " + node.name();
      } else if (is_watched(node)) {
        why = "there is a hook or retain_grad() on an activation, at " + node.name();
      }
      return why.empty();
    });
  }
  return why;
}

/// Has what the graph upstream of `roots` keeps for a backward go when the running one is through, as if it had passed there.
inline void release_at_end(const std::vector<Edge>& roots) {
  if (keeps_graph()) {
    return;
  }
  at_end_of_backward([roots] {
    NodeSet seen;
    for (const Edge& root : roots) {
      walk(root, seen, [&](const Edge& edge) {
        if (seen.contains(edge.function.get())) {
          return false;
        }
        edge.function->release_variables();
        return true;
      });
    }
  });
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
