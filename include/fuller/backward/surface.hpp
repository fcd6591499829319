// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstdint>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/backward/state.hpp>
#include <fuller/core/error.hpp>
#include <fuller/graph/last_layer.hpp>
#include <fuller/graph/walk.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Every trained leaf upstream of the roots.
inline std::vector<at::Tensor> leaves_upstream(const std::vector<Edge>& roots) {
  std::vector<at::Tensor> leaves;
  std::unordered_set<const void*> seen;
  for (const Edge& root : roots) {
    walk(root, [&](const Edge& edge) {
      const at::Tensor* leaf = leaf_of(edge.function.get());
      if (leaf != nullptr && seen.insert(leaf->unsafeGetTensorImpl()).second) {
        leaves.push_back(*leaf);
      }
      return leaf == nullptr;
    });
  }
  return leaves;
}

/// Notes the product whose weight alone the surface is, if the layer is one.
inline void note_linear(Compared& compared, LastLayer& layer) {
  if (!layer.way_to_weight.empty()) {
    compared.product = layer.output;
    compared.product_to_weight = std::move(layer.way_to_weight);
  }
}

/// Has the last layer upstream of each level compared, and notes a linear layer whose weight alone it is.
inline void use_last_layers(const State& state, Forked& forked, const std::vector<at::Tensor>& levels) {
  Compared& compared = forked.compared;
  std::unordered_set<const void*> seen;
  const auto add = [&](const at::Tensor& parameter) {
    if (seen.insert(parameter.unsafeGetTensorImpl()).second) {
      compared.parameters.push_back(parameter);
    }
  };
  for (const at::Tensor& level : levels) {
    LastLayer layer = last_layer(level);
    if (layer.weights.empty()) {
      fail(no_last_layer(*state.names, layer, level));
    }
    for (const at::Tensor& weight : layer.weights) {
      add(weight);
    }
    if (state.options().last_shared_bias && layer.bias.defined()) {
      add(layer.bias);
    }
    for (const Node* node : layer.untrained) {
      const at::Tensor weight = untrained_weight(*node);
      const std::string name = weight.defined() ? state.names->of(weight) : std::string();
      forked.untrained.push_back(
          {name.empty() ? node->name() : name, weight.defined() ? weight.sizes().vec() : std::vector<std::int64_t>()});
    }
    if (levels.size() == 1 && compared.parameters.size() == 1) {
      note_linear(compared, layer);
    }
  }
}

/// Notes whether the one named parameter is the weight of the last layer.
inline void recognise_last_layer(Compared& compared, const at::Tensor& z) {
  LastLayer layer = last_layer(z, /*through_diamonds=*/false);  // a layer that is named need not be one that can be found
  if (layer.weights.size() == 1 && compared.parameters.front().is_same(layer.weights.front())) {
    note_linear(compared, layer);
  }
}

/// Fills in the parameters whose task gradients are compared in this step: those named, or those found upstream of the K levels.
/// None for a rule that compares no gradients: then a trunk in which no last layer can be found is no obstacle.
/// @throws Error where none can be found, or a named one needs no gradient.
inline void choose_surface(const State& state, Forked& forked, const std::vector<at::Tensor>& levels,
                           std::vector<at::Tensor> named) {
  Compared& compared = forked.compared;
  if (!state.plan->ever_measures()) {
    return;
  }
  if (state.plan->surface == Surface::representation) {
    if (!named.empty()) {
      fail(
          "fork() was given shared parameters, but options.surface is Surface::representation, which compares the gradients of "
          "z ",
          "itself; leave them out, or choose Surface::last_shared");
    }
    for (const at::Tensor& level : levels) {
      forked.representation.push_back({"", level.sizes().vec()});
    }
    return;
  }
  compared.named = !named.empty();
  std::unordered_set<const void*> seen;  // tied weights may be named twice, and count once
  for (at::Tensor& parameter : named) {
    if (!parameter.defined() || seen.insert(parameter.unsafeGetTensorImpl()).second) {
      compared.parameters.push_back(std::move(parameter));
    }
  }
  if (compared.parameters.empty() && state.plan->surface == Surface::all_shared) {
    compared.parameters = leaves_upstream(forked.roots);
  } else if (compared.parameters.empty()) {
    use_last_layers(state, forked, levels);
  } else if (compared.parameters.size() == 1 && levels.size() == 1) {
    recognise_last_layer(compared, levels.front());
  }
  for (const at::Tensor& parameter : compared.parameters) {
    if (!parameter.defined() || !parameter.requires_grad()) {
      fail(parameter.defined() ? called(*state.names, parameter, "shared parameter") : "a shared parameter", " given to fork() ",
           parameter.defined() ? "needs no gradient" : "is undefined", "; name parameters that are trained, fork(z, {weight})");
    }
    compared.edges.push_back(gradient_edge(parameter));
  }
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
