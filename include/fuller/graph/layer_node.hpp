// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/graph/libtorch_nodes.hpp>
#include <fuller/graph/walk.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// The leaf at the end of a chain of nodes with one input each (a transposition, a cast), or null.
inline const at::Tensor* leaf_upstream(const Edge& edge) {
  const Node* node = edge.function.get();
  while (node != nullptr) {
    if (const at::Tensor* leaf = leaf_of(node)) {
      return leaf;
    }
    if (node->num_outputs() != 1) {
      return nullptr;
    }
    node = node->next_edge(0).function.get();
  }
  return nullptr;
}

/// The nodes from where a product reads its weight to the leaf, where at most transpositions lie between; else none.
inline std::vector<Node*> transposed_way(const Edge& edge) {
  std::vector<Node*> way;
  for (Node* node = edge.function.get(); node != nullptr; node = node->next_edge(0).function.get()) {
    way.push_back(node);
    if (leaf_of(node) != nullptr) {
      return way;
    }
    if (!is_transposition(node->name()) || node->num_outputs() != 1) {
      break;
    }
  }
  return {};
}

inline void insert_once(std::vector<at::Tensor>& list, const at::Tensor& tensor) {
  const auto is_it = [&](const at::Tensor& one) { return one.is_same(tensor); };
  if (std::none_of(list.begin(), list.end(), is_it)) {
    list.push_back(tensor);
  }
}

/// The trained leaves that a weight is made of (W_0 + A B, g v / |v|, a mask times a leaf); none where the expression may depend
/// on data: where it looks rows up, multiplies with a matrix that is not trained, is not LibTorch's, or is large.
inline std::vector<at::Tensor> parameters_of_weight(const Edge& weight) {
  constexpr int most = 64;
  std::vector<at::Tensor> leaves;
  std::vector<const Node*> open{weight.function.get()};
  NodeSet seen;
  for (int count = 0; !open.empty(); ++count) {
    const Node* node = open.back();
    open.pop_back();
    if (const at::Tensor* leaf = leaf_of(node)) {
      insert_once(leaves, *leaf);
      continue;
    }
    const std::string name = node->name();
    LayerEdges known{-1, -1, -1};
    const bool is_product = known_layer(name, known);
    if (count == most || !is_generated(name) || (!is_product && reads_weights(name))) {
      return {};
    }
    for (std::size_t k = 0; k < node->num_outputs(); ++k) {
      const Edge& edge = node->next_edge(k);
      if (edge.function) {
        if (seen.insert(edge.function.get())) {
          open.push_back(edge.function.get());
        }
      } else if (is_product && static_cast<int>(k) != known.bias) {
        return {};
      }
    }
  }
  return leaves;
}

/// What a search for layers sees of one node.
struct LayerNode {
  std::vector<at::Tensor> weights;    ///< trained, of two dimensions or more, multiplied or looked up here; none: no layer
  at::Tensor bias;                    ///< of that layer, or one that is added here to what comes in; undefined: none
  std::vector<Node*> way_to_weight;   ///< see LastLayer
  std::vector<Edge> ways;             ///< on to what the layer or operation reads
  bool has_untrained_weight = false;  ///< multiplies by something that needs no gradient, where a weight stands
};

inline LayerNode look_at(const Node& node) {
  LayerNode seen;
  const bool goes_one_way = node.num_outputs() == 1 && node.next_edge(0).function && leaf_upstream(node.next_edge(0)) == nullptr;
  if (goes_one_way) {  // no layer; asking for the name takes longer than all else
    seen.ways.push_back(node.next_edge(0));
    return seen;
  }
  const std::string name = node.name();
  LayerEdges known{-1, -1, -1};
  const bool is_known = known_layer(name, known);
  const auto edge_at = [&](int position) {
    const bool there = position >= 0 && position < static_cast<int>(node.num_outputs());
    return there ? node.next_edge(static_cast<std::size_t>(position)) : Edge();
  };
  const auto leaf_at = [&](int position) {
    const Edge edge = edge_at(position);
    const at::Tensor* leaf = edge.function ? leaf_upstream(edge) : nullptr;
    return leaf == nullptr ? at::Tensor() : *leaf;
  };
  int skipped = -1;
  if (is_known) {
    const Edge weight = edge_at(known.weight);
    seen.has_untrained_weight = !weight.function;
    if (const at::Tensor leaf = leaf_at(known.weight); leaf.defined()) {
      seen.weights = {leaf};
      seen.way_to_weight = transposed_way(weight);
    } else if (weight.function && !leaf_at(known.input).defined()) {
      seen.weights = parameters_of_weight(weight);
      skipped = seen.weights.empty() ? -1 : known.weight;
    }
    if (!seen.weights.empty()) {
      seen.bias = leaf_at(known.bias);
    }
  }
  const bool found = !seen.weights.empty();
  for (std::size_t k = 0; k < node.num_outputs(); ++k) {
    const Edge& edge = node.next_edge(k);
    if (!edge.function || static_cast<int>(k) == skipped) {
      continue;
    }
    const at::Tensor* leaf = leaf_upstream(edge);
    if (leaf == nullptr) {
      seen.ways.push_back(edge);
    } else if (!found && leaf->dim() >= 2 && reads_weights(name) && !(k == 0 && adds_first(name))) {
      insert_once(seen.weights, *leaf);
    } else if (!found && leaf->dim() == 1 && is_addition(name)) {
      seen.bias = *leaf;
    }
  }
  return seen;
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
