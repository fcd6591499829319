// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include <ATen/SequenceNumber.h>
#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/engine.h>

#include <fuller/graph/walk.hpp>

namespace fuller::detail {

/// Counts the nested passes that run inside a backward, so that gates and hooks of the same calibration let them through
/// unchanged, and those of others can tell.
class NestedPass {
 public:
  explicit NestedPass(int& depth) : depth_(depth) {
    ++depth_;
    ++on_this_thread();
  }
  ~NestedPass() {
    --depth_;
    --on_this_thread();
  }
  NestedPass(const NestedPass&) = delete;
  NestedPass& operator=(const NestedPass&) = delete;

  /// Passes of any calibration.
  static int& on_this_thread() {
    thread_local int passes = 0;
    return passes;
  }

 private:
  int& depth_;
};

/// The gradients that arrive at `targets` when `cotangents` are sent into `roots`, inside a running backward.
///
/// The engine runs only the nodes between roots and targets, keeps the graph, and accumulates into no `.grad`. A target that is
/// not reached comes back undefined, and a root whose cotangent is undefined is left out.
inline std::vector<at::Tensor> pull_back(const std::vector<Edge>& roots, const std::vector<at::Tensor>& cotangents,
                                         const std::vector<Edge>& targets, int& depth) {
  torch::autograd::edge_list from;
  torch::autograd::variable_list seeds;
  for (std::size_t k = 0; k < roots.size(); ++k) {
    if (cotangents[k].defined()) {
      from.push_back(roots[k]);
      seeds.push_back(cotangents[k]);
    }
  }
  if (from.empty()) {
    return std::vector<at::Tensor>(targets.size());
  }
  const NestedPass nested(depth);
  return torch::autograd::Engine::get_default_engine().execute(from, seeds, /*keep_graph=*/true, /*create_graph=*/false,
                                                               /*accumulate_grad=*/false, targets);
}

/// How many nodes the engine itself makes for pull_back() of these cotangents: a common root where there are several.
inline std::uint64_t engine_nodes(const std::vector<at::Tensor>& cotangents) {
  std::uint64_t roots = 0;
  for (const at::Tensor& cotangent : cotangents) {
    roots += cotangent.defined() ? 1 : 0;
  }
  return roots > 1 ? 1 : 0;
}

/// How many autograd nodes this thread has made. A backward makes none, unless a checkpoint in it runs its forward again: so a
/// difference betrays a checkpoint.
inline std::uint64_t nodes_made() { return at::sequence_number::peek(); }

}  // namespace fuller::detail
