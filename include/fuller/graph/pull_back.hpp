// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/graph/libtorch.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

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
  std::vector<Edge> from;
  std::vector<at::Tensor> seeds;
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
  return run_between(from, seeds, targets);
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
