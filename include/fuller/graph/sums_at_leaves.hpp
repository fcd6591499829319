// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

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

/// Why a pass through what lies upstream of `roots` has to train it, in words; empty where the sums of gradients that were formed
/// at `leaves` can do so, put in there while the running backward passes with nothing.
///
/// A pass with nothing leaves no trace only where all nodes are plainly linear, nobody looks at what arrives between, and every
/// leaf gets its sum. Terms that enter upstream of the roots are no obstacle: what they send is added to.
/// @param passable  a node of fuller's that gives nothing where it is given nothing
inline std::string why_no_sums(const std::vector<Edge>& roots, const std::vector<Edge>& leaves, const ParameterNames& names,
                               const Node* passable = nullptr) {
  if (is_restricted_backward()) {
    return "the backward is one to some inputs alone";
  }
  NodeSet given;
  for (const Edge& leaf : leaves) {
    given.insert(leaf.function.get());
  }
  NodeSet seen;
  std::ostringstream why;
  bool found = false;
  for (const Edge& root : roots) {
    walk(root, seen, [&](const Edge& edge) {
      Node& node = *edge.function;
      if (found || seen.contains(&node)) {
        return false;
      }
      if (const at::Tensor* leaf = leaf_of(&node)) {
        if (!given.contains(&node)) {
          found = true;
          why << called(names, *leaf) << " is trained too and is not compared";
        }
        return false;
      }
      if (is_branch_gate(node)) {
        found = true;
        why << "gates, which are set by the pass that trains";
      } else if (&node != passable && !is_plainly_linear(node)) {
        found = true;
        why << "a function that is not LibTorch's own, or one in place on a view, at " << node.name();
      } else if (is_watched(node)) {
        found = true;
        why << "a hook or retain_grad() on an activation, at " << node.name();
      }
      return !found;
    });
  }
  return why.str();
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
