// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstring>
#include <exception>
#include <initializer_list>
#include <optional>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/generated/Functions.h>

#include <fuller/graph/libtorch.hpp>

// The door to LibTorch's kinds of nodes: their names, their order of inputs, and what they save. See libtorch.hpp.

namespace fuller {
inline namespace v0_1 {
namespace detail {

inline bool starts_with_any(const std::string& name, std::initializer_list<const char*> beginnings) {
  for (const char* beginning : beginnings) {
    if (name.rfind(beginning, 0) == 0) {
      return true;
    }
  }
  return false;
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

/// Whether LibTorch's generator wrote the node of this name.
inline bool is_generated(const std::string& name) {
  return name.find("Backward") != std::string::npos && name.find("::") == std::string::npos;
}

/// Whether a parameter of two dimensions or more at this node can be a layer's weight: the node is a product or a lookup, or one
/// that LibTorch did not generate and nothing is known of. Most others take parameters in element by element: a learnt scale, a
/// token, an added position.
inline bool reads_weights(const std::string& name) {
  if (!is_generated(name)) {
    return true;
  }
  for (const char* product : {"mm", "Mm", "mv", "Mv", "Conv", "conv", "inear", "atmul", "Embedding", "Index", "Gather", "Lstm",
                              "LSTM", "Gru", "GRU", "Rnn", "RNN"}) {
    if (name.find(product) != std::string::npos) {
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

/// Whether what a node of this name gives is bounded: a sigmoid, a softmax, a hardtanh. In full: a log-sigmoid, a log-softmax and
/// a clamp on one side have no bound.
inline bool is_bounded(const std::string& name) {
  return starts_with_any(name, {"SigmoidBackward", "HardsigmoidBackward", "SoftmaxBackward", "HardtanhBackward"});
}

inline bool is_elementwise_product(const std::string& name) { return starts_with_any(name, {"MulBackward"}); }
inline bool is_addition(const std::string& name) { return starts_with_any(name, {"AddBackward"}); }
inline bool is_transposition(const std::string& name) { return starts_with_any(name, {"TBackward", "TransposeBackward"}); }

/// Whether a node of this name changes no value, so that what was added downstream of it was added to the layer's own output.
inline bool only_rearranges(const std::string& name) {
  return starts_with_any(name, {"View", "UnsafeView", "ReshapeAlias", "Transpose", "TBackward", "Permute", "Alias", "Squeeze",
                                "Unsqueeze", "ToCopy", "Expand"});
}

/// The input x [N, in] that the node of y = x W^T (+ b) saved for its weight gradient, or an undefined tensor for any other node.
///
/// Waits for nothing and copies nothing. Valid until the backward has passed the node.
inline at::Tensor linear_input(Node& node) {
  if (auto* with_bias = dynamic_cast<torch::autograd::generated::AddmmBackward0*>(&node)) {
    return with_bias->alpha.equal(1) ? with_bias->mat1_.unpack() : at::Tensor();
  }
  if (auto* plain = dynamic_cast<torch::autograd::generated::MmBackward0*>(&node)) {
    return plain->self_.unpack();
  }
  return {};
}

/// A product x W (+ b) of matrices that keeps both, and the edges of its node on which their gradients leave.
struct MatrixProduct {
  at::Tensor x;       ///< [N, in]; undefined where W needs no gradient
  at::Tensor weight;  ///< [in, out], as it was read; undefined where x needs no gradient
  std::size_t of_x = 0;
  std::size_t of_weight = 0;
  std::size_t of_bias = 0;
  bool has_bias = false;
};

/// The product at this node, if it is one that is not scaled. Valid until the backward has passed the node.
inline std::optional<MatrixProduct> matrix_product(const Node& node) {
  if (const auto* with_bias = dynamic_cast<const torch::autograd::generated::AddmmBackward0*>(&node)) {
    if (!with_bias->alpha.equal(1) || !with_bias->beta.equal(1)) {
      return std::nullopt;
    }
    return MatrixProduct{with_bias->mat1_.unpack(), with_bias->mat2_.unpack(), 1, 2, 0, true};
  }
  if (const auto* plain = dynamic_cast<const torch::autograd::generated::MmBackward0*>(&node)) {
    return MatrixProduct{plain->self_.unpack(), plain->mat2_.unpack(), 0, 1, 0, false};
  }
  return std::nullopt;
}

/// The weight that needs no gradient at a product, as the module holds it; undefined where the node does not tell.
inline at::Tensor untrained_weight(const Node& node) {
  namespace generated = torch::autograd::generated;
  try {
    at::Tensor weight;
    if (const auto* with_bias = dynamic_cast<const generated::AddmmBackward0*>(&node)) {
      weight = with_bias->mat2_.unpack();
    } else if (const auto* plain = dynamic_cast<const generated::MmBackward0*>(&node)) {
      weight = plain->mat2_.unpack();
    } else if (const auto* convolution = dynamic_cast<const generated::ConvolutionBackward0*>(&node)) {
      weight = convolution->weight_.unpack();
    }
    return weight.defined() && weight.is_view() ? at::Tensor(weight._base()) : weight;
  } catch (const std::exception&) {  // a backward has been through, and let go of it
    return {};
  }
}

/// What a property of a node's type is, which takes a while to find out and is remembered.
template <class Find>
bool by_type(const Node& node, std::vector<std::pair<const std::type_info*, bool>>& known, const Find& find) {
  const std::type_info& type = typeid(node);
  for (const auto& [one, answer] : known) {
    if (one == &type) {
      return answer;
    }
  }
  known.emplace_back(&type, find(type.name()));
  return known.back().second;
}

/// Whether a type's name is that of a node which a function in fuller::detail made, of whichever version.
inline bool is_ours(const char* name) {
  const char* const space = std::strstr(name, "CppNodeIN6fuller");
  return space != nullptr && std::strstr(space, "6detail") != nullptr;
}

/// Whether a node is one of fuller's.
inline bool is_fullers(const Node& node) {
  thread_local std::vector<std::pair<const std::type_info*, bool>> known;
  return by_type(node, known, is_ours);
}

/// Whether a node is an autograd function that neither LibTorch nor fuller wrote, and so may run a checkpoint.
inline bool is_custom(const Node& node) {
  thread_local std::vector<std::pair<const std::type_info*, bool>> known;
  return by_type(node, known, [](const char* name) {
    const bool is_function = std::strstr(name, "CppNode") != nullptr && !is_ours(name);
    return is_function || std::strstr(name, "N5torch") == nullptr;
  });
}

/// Whether a node is one that LibTorch's generator wrote, or a copy between devices or types: given nothing it gives nothing, and
/// what it gives is linear in what it is given and changes nothing else.
inline bool is_plainly_linear(const Node& node) {
  thread_local std::vector<std::pair<const std::type_info*, bool>> known;
  return by_type(node, known, [](const char* name) {
    return std::strstr(name, "N5torch8autograd9generated") != nullptr ||
           std::strstr(name, "N5torch8autograd13CopyBackwards") != nullptr;
  });
}

/// Whether a node is one of gate()'s.
inline bool is_branch_gate(const Node& node) {
  thread_local std::vector<std::pair<const std::type_info*, bool>> known;
  return by_type(node, known, [](const char* name) { return is_ours(name) && std::strstr(name, "10BranchGateE") != nullptr; });
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
