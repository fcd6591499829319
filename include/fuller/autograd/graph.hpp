// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <typeinfo>
#include <unordered_set>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/edge.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/csrc/autograd/variable.h>

namespace fuller::detail {

using torch::autograd::Edge;
using torch::autograd::Node;

/// The leaf tensor whose gradient `node` accumulates, or null for any other node.
inline const at::Tensor* leaf_of(const Node* node) {
  const auto* accumulate = dynamic_cast<const torch::autograd::AccumulateGrad*>(node);
  return accumulate == nullptr ? nullptr : &accumulate->variable;
}

/// Where the engine delivers the gradient of `tensor`: its producer's output, or the accumulation node of a leaf.
inline Edge gradient_edge(const at::Tensor& tensor) { return torch::autograd::impl::gradient_edge(tensor); }

/// Visits `start` and each edge behind it, towards the inputs; `visit(edge)` returns false to go no further there. A node's own
/// edges are walked once.
template <class Visit>
void walk(const Edge& start, Visit visit) {
  std::unordered_set<const Node*> seen;
  std::vector<const Node*> open;
  const auto enter = [&](const Edge& edge) {
    if (edge.function && visit(edge) && seen.insert(edge.function.get()).second) {
      open.push_back(edge.function.get());
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

/// Whether a node is an autograd function that neither LibTorch nor fuller wrote, and so may run a checkpoint.
inline bool is_custom(const Node& node) {
  const char* type = typeid(node).name();
  return std::strstr(type, "CppNode") != nullptr && std::strstr(type, "6fuller6detail") == nullptr;
}

}  // namespace fuller::detail
