// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/autograd/graph.hpp>
#include <fuller/core/error.hpp>

namespace fuller::detail {

/// The last layer with a weight before a shared representation.
struct LastLayer {
  at::Tensor weight;
  at::Tensor bias;  ///< undefined where the layer has none
  Edge output;      ///< where the gradient of the layer's output arrives: at the node that multiplies by the weight
  /// The nodes from the product x W^T to W itself; empty where this is another operation, or reads something made from W.
  std::vector<Node*> way_to_weight;
};

/// The leaf at the end of a chain of nodes with one input each (a transposition, a cast), or null.
inline const at::Tensor* leaf_behind(const Edge& edge) {
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
    const std::string name = node->name();
    const bool is_transposition = name.rfind("TBackward", 0) == 0 || name.rfind("TransposeBackward", 0) == 0;
    if (!is_transposition || node->num_outputs() != 1) {
      break;
    }
  }
  return {};
}

/// The positions of input, weight and bias among a node's edges, for the nodes whose order is known; -1 where there is none.
struct LayerEdges {
  int input, weight, bias;
};

inline bool known_layer(const std::string& name, LayerEdges& edges) {
  const auto starts_with = [&](const char* prefix) { return name.rfind(prefix, 0) == 0; };
  if (starts_with("ConvolutionBackward") || starts_with("ConvolutionOverrideableBackward") ||
      starts_with("MkldnnConvolutionBackward") || starts_with("CudnnConvolutionBackward") || starts_with("SlowConv") ||
      starts_with("ThnnConv")) {
    edges = {0, 1, 2};
    return true;
  }
  if (starts_with("AddmmBackward")) {  // beta * bias + input @ weight.t()
    edges = {1, 2, 0};
    return true;
  }
  if (starts_with("MmBackward") || starts_with("BmmBackward") || starts_with("MvBackward")) {
    edges = {0, 1, -1};
    return true;
  }
  if (starts_with("LinearBackward") || starts_with("MkldnnLinearBackward")) {
    edges = {0, 1, 2};
    return true;
  }
  return false;
}

/// Whether a parameter of two dimensions or more at this node can be a layer's weight: the node is a product or a lookup, or one
/// that LibTorch did not generate and nothing is known of. Most others take parameters in element by element: a learnt scale, a
/// token, an added position.
inline bool reads_weights(const std::string& name) {
  const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
  const bool generated = has("Backward") && !has("::");
  if (!generated) {
    return true;
  }
  for (const char* product : {"mm", "Mm", "mv", "Mv", "Conv", "conv", "inear", "atmul", "Embedding", "Index", "Gather", "Lstm",
                              "LSTM", "Gru", "GRU", "Rnn", "RNN"}) {
    if (has(product)) {
      return true;
    }
  }
  return false;
}

/// Whether the first input of this node is added to a product of the others.
inline bool adds_first(const std::string& name) {
  return name.rfind("Addmm", 0) == 0 || name.rfind("Addmv", 0) == 0 || name.rfind("Addbmm", 0) == 0 ||
         name.rfind("Baddbmm", 0) == 0;
}

/// Follows a shared representation back to the last layer with a weight.
///
/// Goes through activations, normalisations, pooling, views and casts: through every node that has one way on. A bias added by
/// a node of its own (a linear layer on more than two dimensions) is recognised as such.
/// @throws Error where the graph splits before a layer was found (a residual, a concatenation), or ends.
inline LastLayer last_layer(const at::Tensor& z) {
  Edge at = gradient_edge(z);
  at::Tensor added_bias;
  while (at.function && leaf_of(at.function.get()) == nullptr) {
    const Node& node = *at.function;
    const std::string name = node.name();
    LayerEdges known{-1, -1, -1};
    const auto leaf_at = [&](int position) -> at::Tensor {
      const bool there = position >= 0 && position < static_cast<int>(node.num_outputs());
      const at::Tensor* leaf = there ? leaf_behind(node.next_edge(static_cast<std::size_t>(position))) : nullptr;
      return leaf == nullptr ? at::Tensor() : *leaf;
    };
    if (known_layer(name, known)) {
      if (at::Tensor weight = leaf_at(known.weight); weight.defined()) {
        const at::Tensor bias = leaf_at(known.bias);
        std::vector<Node*> way = transposed_way(node.next_edge(static_cast<std::size_t>(known.weight)));
        return {std::move(weight), bias.defined() ? bias : added_bias, at, std::move(way)};
      }
    }
    std::vector<Edge> ways;
    for (const Edge& edge : node.next_edges()) {
      if (!edge.function) {
        continue;
      }
      const at::Tensor* leaf = leaf_behind(edge);
      const bool is_added = &edge == &node.next_edges().front() && adds_first(name);
      if (leaf == nullptr) {
        ways.push_back(edge);
      } else if (leaf->dim() >= 2 && reads_weights(name) && !is_added) {
        return {*leaf, added_bias, at, {}};
      } else if (leaf->dim() == 1 && name.rfind("AddBackward", 0) == 0) {
        added_bias = *leaf;
      }
    }
    if (ways.size() != 1) {
      fail("the last shared layer cannot be found: going back from the shared representation of shape ", z.sizes(),
           ", the graph ", ways.empty() ? "ends" : "splits", " at ", name,
           " before a layer with a weight; name its parameters, fork(z, {layer->weight}), or choose Surface::representation");
    }
    at = ways.front();
  }
  fail("the shared representation of shape ", z.sizes(),
       " does not depend on a parameter; fork() belongs behind the shared layers");
}

}  // namespace fuller::detail
