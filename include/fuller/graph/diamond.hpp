// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <fuller/graph/layer_node.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// What a search met between a node where the graph splits and the one where it is one again.
struct Diamond {
  Edge before;                         ///< the nearest node that every way back to an earlier layer passes; none: see trouble
  std::string trouble;                 ///< why the layer upstream of it is not the last one alone
  std::vector<const Node*> untrained;  ///< products passed whose weight is not trained
};

/// Whether what comes in at `edge` is bounded by a sigmoid or the like after its last layer, and so can be a gate.
inline bool is_gate(const Edge& edge) {
  Edge at = edge;
  while (at.function) {
    const std::string name = at.function->name();
    if (is_bounded(name)) {
      return true;
    }
    LayerNode seen = look_at(*at.function);
    if (!seen.weights.empty() || seen.ways.size() != 1) {
      return false;
    }
    at = std::move(seen.ways.front());
  }
  return false;
}

/// Where a graph that splits at `split` is one again: its immediate dominator on the ways from the leaves.
///
/// Nodes are taken in the order of their longest way to a leaf, so each after all that read it; when one alone is left to be
/// taken, every way back leads through it. Ways that end at parameters taken in element by element do not count. Let a way be
/// free if no layer lies on it. What is between is then a function of that node's output, and the layer upstream of it is the
/// last one, if
///
///  - no layer lies between (y sigmoid(y), y / |y|, a GLU, what is joined with its own activation), or
///  - layers lie only on ways that end in a sigmoid, softmax or hardtanh and meet a free one in an element-wise product: a gate
///    s(y) on y, as in squeeze-and-excite. The gate's own layers are shared parameters like those before it and are trained with
///    the same weighted sum; the gradients that are compared are those of y's layer, which every way passes.
///
/// Where a way with a layer and one around it meet in another way, what follows is as much that layer's as the earlier one's: a
/// residual, a dense connection, a product of both. Where every way has a layer of its own, there is more than one last layer.
///
/// @param without_parameters  leaves out ways to expressions of parameters alone (a token made of two); finding out takes longer
inline Diamond before_diamond(const Edge& split, bool without_parameters = false) {
  enum class Way { nothing, free, layered, apart };  // apart: through a layer that the common node does not lead to
  Diamond diamond;
  const auto is_nearer_the_leaves = [](const Edge& a, const Edge& b) {
    return a.function->topological_nr() < b.function->topological_nr();
  };
  std::vector<Edge> open{split};
  NodeSet entered;
  std::vector<std::pair<const Node*, LayerNode>> passed;
  while (!open.empty()) {
    std::pop_heap(open.begin(), open.end(), is_nearer_the_leaves);
    Edge next = std::move(open.back());
    open.pop_back();
    if (open.empty() && !passed.empty()) {
      diamond.before = std::move(next);
      break;
    }
    const Node& node = *next.function;
    passed.emplace_back(&node, look_at(node));
    std::vector<Edge>& ahead = passed.back().second.ways;
    if (without_parameters) {
      const auto is_of_parameters = [](const Edge& way) { return !parameters_of_weight(way).empty(); };
      ahead.erase(std::remove_if(ahead.begin(), ahead.end(), is_of_parameters), ahead.end());
    }
    for (const Edge& way : ahead) {
      if (entered.insert(way.function.get())) {
        open.push_back(way);
        std::push_heap(open.begin(), open.end(), is_nearer_the_leaves);
      }
    }
  }
  if (!diamond.before.function) {
    diamond.trouble = "ends in several places";
    return diamond;
  }
  std::unordered_map<const Node*, Way> ways{{diamond.before.function.get(), Way::free}};
  for (auto one = passed.rbegin(); one != passed.rend(); ++one) {
    const Node* node = one->first;
    const LayerNode& seen = one->second;
    const auto any = [&](Way kind) {
      return std::any_of(seen.ways.begin(), seen.ways.end(),
                         [&](const Edge& edge) { return ways.at(edge.function.get()) == kind; });
    };
    if (seen.has_untrained_weight && node != split.function.get()) {
      diamond.untrained.push_back(node);
    }
    const bool on = any(Way::free) || any(Way::layered);
    Way way = any(Way::layered) ? Way::layered : on ? Way::free : Way::nothing;
    if (!seen.weights.empty()) {
      way = on ? Way::layered : Way::apart;
    } else if (any(Way::free) && any(Way::layered)) {
      const std::string name = node->name();
      const auto is_fine = [&](const Edge& edge) { return ways.at(edge.function.get()) != Way::layered || is_gate(edge); };
      if (!is_elementwise_product(name) || !std::all_of(seen.ways.begin(), seen.ways.end(), is_fine)) {
        diamond.trouble =
            "joins, at " + name + ", a layer's output with what goes around that layer (a residual, a concatenation)";
        return diamond;
      }
      way = Way::free;
    }
    ways[node] = any(Way::apart) ? Way::apart : way;
  }
  if (ways.at(passed.front().first) != Way::free) {
    diamond.trouble = "joins, at " + passed.front().first->name() + ", the outputs of several layers";
  }
  return diamond;
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
