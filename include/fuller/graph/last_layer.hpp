// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/graph/diamond.hpp>
#include <fuller/graph/layer_node.hpp>
#include <fuller/graph/walk.hpp>
#include <fuller/tensor/parameter_names.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// The last layer with a weight before a shared representation.
struct LastLayer {
  std::vector<at::Tensor> weights;  ///< the trained parameters that its weight is or is made of; none: see trouble
  at::Tensor bias;                  ///< undefined where the layer has none
  Edge output;  ///< where the gradient of the layer's output arrives: at the node that multiplies by the weight
  /// The nodes from the product x W^T to W itself; empty where this is another operation, or reads something made from W.
  std::vector<Node*> way_to_weight;
  std::vector<const Node*> untrained;  ///< products on the way whose weight needs no gradient
  std::string trouble;                 ///< why none was found, in words
};

/// Follows a shared representation back to the last layer with a weight.
///
/// Goes through activations, normalisations, pooling, views and casts: through every node that has one way on, and, unless told
/// otherwise, through diamonds that one layer feeds (see before_diamond()). A bias added by a node of its own (a linear layer on
/// more than two dimensions) is recognised as such.
inline LastLayer last_layer(const at::Tensor& z, bool through_diamonds = true) {
  LastLayer layer;
  layer.output = gradient_edge(z);
  std::ostringstream trouble;
  trouble << "going back from the shared representation of shape " << z.sizes() << ", the graph ";
  while (layer.output.function && leaf_of(layer.output.function.get()) == nullptr) {
    const Node& node = *layer.output.function;
    LayerNode seen = look_at(node);
    if (seen.bias.defined()) {
      layer.bias = seen.bias;
    } else if (layer.bias.defined() && seen.weights.empty() && !only_rearranges(node.name())) {
      layer.bias = at::Tensor();  // what was added to something made of the layer's output is none of the layer's own
    }
    if (!seen.weights.empty()) {
      layer.weights = std::move(seen.weights);
      layer.way_to_weight = std::move(seen.way_to_weight);
      return layer;
    }
    if (seen.has_untrained_weight) {
      layer.untrained.push_back(&node);
    }
    if (seen.ways.size() == 1) {
      layer.output = std::move(seen.ways.front());
      continue;
    }
    Diamond diamond;
    if (seen.ways.empty()) {
      diamond.trouble = "ends";
    } else if (through_diamonds) {
      diamond = before_diamond(layer.output);
      if (!diamond.trouble.empty()) {
        Diamond again = before_diamond(layer.output, /*without_parameters=*/true);
        if (again.trouble.empty()) {
          diamond = std::move(again);
        }
      }
    }
    if (!diamond.trouble.empty() || !diamond.before.function) {
      trouble << (seen.ways.empty() ? "ends" : "splits") << " at " << node.name() << " before a layer with a weight";
      if (!seen.ways.empty() && !diamond.trouble.empty()) {
        trouble << " that all of it passes: it " << diamond.trouble;
      }
      layer.trouble = trouble.str();
      return layer;
    }
    layer.untrained.insert(layer.untrained.end(), diamond.untrained.begin(), diamond.untrained.end());
    layer.output = std::move(diamond.before);
    layer.bias = at::Tensor();  // what was added beyond is none of the layer's own
  }
  return layer;
}

/// The trained parameters upstream of `z`, nearest first; those of two dimensions or more, if there are any.
inline std::vector<at::Tensor> nearest_parameters(const at::Tensor& z) {
  std::vector<at::Tensor> matrices;
  std::vector<at::Tensor> vectors;
  std::vector<const Node*> level{gradient_edge(z).function.get()};
  NodeSet seen;
  while (!level.empty()) {
    std::vector<const Node*> next;
    for (const Node* node : level) {
      for (const Edge& edge : node->next_edges()) {
        if (!edge.function || !seen.insert(edge.function.get())) {
          continue;
        }
        if (const at::Tensor* leaf = leaf_of(edge.function.get())) {
          (leaf->dim() >= 2 ? matrices : vectors).push_back(*leaf);
        } else {
          next.push_back(edge.function.get());
        }
      }
    }
    level = std::move(next);
  }
  return matrices.empty() ? vectors : matrices;
}

/// The same for a message that asks to name some.
inline std::string candidates(const ParameterNames& names, const at::Tensor& z) {
  constexpr std::size_t shown = 8;
  const std::vector<at::Tensor> found = nearest_parameters(z);
  std::ostringstream text;
  if (found.empty()) {
    return {};
  }
  const std::string first = names.in_module(found.front());
  text << "; upstream of it lie, nearest first, ";
  for (std::size_t k = 0; k < found.size() && k < shown; ++k) {
    const std::string name = names.of(found[k]);
    text << (k == 0 ? "" : ", ") << (name.empty() ? "" : "'" + name + "' ") << found[k].sizes();
  }
  if (found.size() > shown) {
    text << " and " << found.size() - shown << " more";
  }
  if (first.empty()) {
    text << " (with their names after calibration.name_parameters(model->named_parameters()))";
  } else {
    text << ": fork(z, {model->named_parameters()[\"" << first << "\"]})";
  }
  return text.str();
}

/// The error where no last layer was found: what was met, and how to say which one is meant.
inline std::string no_last_layer(const ParameterNames& names, const LastLayer& layer, const at::Tensor& z) {
  std::ostringstream text;
  if (layer.trouble.empty()) {
    text << "the shared representation of shape " << z.sizes()
         << " does not depend on a parameter of a layer; fork() belongs after the shared layers";
  } else {
    text << "the last shared layer cannot be found: " << layer.trouble
         << "; name its parameters, fork(z, {layer->weight}) or fork(z, "
         << "{lstm->named_parameters()[\"weight_hh_l1\"]}), or choose Surface::representation, which needs none"
         << candidates(names, z);
  }
  return text.str();
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
