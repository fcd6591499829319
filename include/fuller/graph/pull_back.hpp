// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/core/error.hpp>
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

/// Gradients that several passes of one backward are given: a hook or an autograd function that writes to one, which LibTorch
/// forbids and rarely notices, would give the next pass another.
class SentAgain {
 public:
  SentAgain() = default;
  explicit SentAgain(std::vector<at::Tensor> gradients) : gradients_(std::move(gradients)) {
    for (const at::Tensor& gradient : gradients_) {
      versions_.push_back(version_of(gradient));
    }
  }

  /// @param where  such a hook or function is: "upstream of a loss"
  /// @throws Error if one was written to, itself or through a view.
  void expect_unwritten(const char* where) const {
    for (std::size_t k = 0; k < gradients_.size(); ++k) {
      if (version_of(gradients_[k]) != versions_[k]) {
        fail("a hook or an autograd function ", where, " changes the gradient that it is given in place, and others are given ",
             "the same one; have it return a new tensor: gradient * 2, not gradient.mul_(2)");
      }
    }
  }

 private:
  static std::int64_t version_of(const at::Tensor& gradient) { return gradient.defined() ? gradient._version() : 0; }

  std::vector<at::Tensor> gradients_;
  std::vector<std::int64_t> versions_;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
