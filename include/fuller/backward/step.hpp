// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>

#include <fuller/diagnostics.hpp>
#include <fuller/engine/outcome.hpp>
#include <fuller/graph/node_set.hpp>
#include <fuller/graph/pull_back.hpp>
#include <fuller/graph/running.hpp>
#include <fuller/graph/sums_at_leaves.hpp>
#include <fuller/graph/walk.hpp>
#include <fuller/tensor/parameter_names.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// What a step's graph showed, for the diagnostics: parameters are not kept alive.
struct Seen {
  std::vector<WeakTensor> surface;         ///< whose task gradients are compared
  std::vector<WeakTensor> shared;          ///< trained, and reached by two losses or more, or upstream of the fork
  std::vector<NamedShape> representation;  ///< the levels of z, where those are compared
  std::vector<NamedShape> untrained;       ///< weights that need no gradient, passed on the way from z to the last layer
};

/// The parameters whose task gradients are compared.
struct Compared {
  std::vector<at::Tensor> parameters;
  std::vector<Edge> edges;               ///< where their gradients arrive
  bool named = false;                    ///< whether the user named them
  Edge product;                          ///< the product x W^T, where W alone is compared and nothing else reads it
  std::vector<Node*> product_to_weight;  ///< the nodes from there to W
};

/// What fork() knows of one forward pass. Never changes.
struct Forked {
  const Node* node = nullptr;
  std::vector<Edge> roots;  ///< gradient edges of the K levels of z
  Compared compared;
  std::vector<NamedShape> representation;  ///< see Seen
  std::vector<NamedShape> untrained;
};

/// What one call of sum() knows of it. Never changes.
struct Summed {
  Route route = Route::none;                   ///< where weights are chosen and applied
  bool gathers = false;                        ///< whether it is one micro-batch of a step, whose weights are not known yet
  const Node* node = nullptr;                  ///< the loss sum's
  std::vector<std::size_t> given;              ///< the tasks with a loss, in the order of the sum's inputs
  std::vector<at::Tensor> losses;              ///< T losses, detached; undefined where a task is absent
  std::vector<std::vector<at::Tensor>> heads;  ///< T lists of parameters that one task alone reaches
  NodeSet inside;                              ///< nodes between the sum and the fork
  std::vector<bool> custom;                    ///< whether a task's head holds an autograd function of the user's
  Compared compared;                           ///< the fork's, or what the losses are found to share
  std::shared_ptr<const Seen> seen;
};

/// Rows of a linear layer's input and output gradients that ranks show each other, instead of its weight's gradients.
struct RowsOfRanks {
  std::int64_t count = 0;   ///< of all ranks
  std::int64_t before = 0;  ///< of the ranks before this one
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
  at::ScalarType type = at::kFloat;  ///< as which they travel
};

/// One backward of it.
struct Pass {
  std::weak_ptr<const Running> run;  ///< until the fork has run
  at::Tensor scale;                  ///< the gradient that arrived at the loss sum, while the backward is between sum and fork
  std::vector<at::Tensor> casts;     ///< and casts of it, which losses of other types have got
  SentAgain to_losses;               ///< the scale, while it is on its way to the T losses
  at::Tensor noted_scale;            ///< what the engine made of it; on ranks that have agreed, that of their mean
  double share = 1;                  ///< what this rank's losses count in those of all ranks
  std::optional<RowsOfRanks> rows;   ///< where ranks have agreed to compare a linear layer by them
  std::uint64_t nodes_at_start = 0;  ///< nodes_made() when the backward reached the loss sum
  Outcome outcome;
  std::int64_t passes = 0;               ///< for task gradients
  std::int64_t bytes_kept = 0;           ///< of those, held at once
  bool summed = false;                   ///< whether the weighted sum of those trains what is shared
  std::string one_more;                  ///< why another pass does, where their sum might
  std::vector<LeavesOfBranch> branches;  ///< where their sums wait for gates

  /// Decides whether the sums train.
  void note(SumsAtLeaves sums) {
    one_more = std::move(sums.why_not);
    summed = one_more.empty();
    branches = summed ? std::move(sums.branches) : std::vector<LeavesOfBranch>();
  }
  /// Counts one pass for task gradients, and what it has formed.
  void count(const std::vector<at::Tensor>& gradients) {
    ++passes;
    bytes_kept += bytes_of(gradients);
  }
  /// Counts gradients that are held at another time than any others.
  void count_apart(const std::vector<at::Tensor>& gradients) { bytes_kept = std::max(bytes_kept, bytes_of(gradients)); }
  static std::int64_t bytes_of(const std::vector<at::Tensor>& gradients) {
    std::int64_t bytes = 0;
    for (const at::Tensor& gradient : gradients) {
      if (gradient.defined() && gradient.layout() == at::kStrided) {
        bytes += static_cast<std::int64_t>(gradient.numel()) * static_cast<std::int64_t>(gradient.element_size());
      }
    }
    return bytes;
  }
};

/// One forward pass through a fork, a sum, or both, until its backward has run. Owned by the autograd nodes it belongs to, so it
/// dies with the graph.
struct Step {
  std::shared_ptr<const Forked> forked;  ///< null for a sum without a fork. Written by fork()
  std::shared_ptr<const Summed> summed;  ///< of the last sum(); null before. Written by sum()
  Pass pass;                             ///< the backward that runs, or ran last. Begun by the sum's node

  const Node* fork_node() const { return forked == nullptr ? nullptr : forked->node; }
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
