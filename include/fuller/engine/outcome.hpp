// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/calibrators/weighting.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// What a rule said of one step, one entry per task.
struct Verdict {
  explicit Verdict(std::size_t tasks = 0) : shared(tasks, 0.0), heads(tasks, 0.0), conditions(tasks, Condition::absent) {}

  std::vector<double> shared;         ///< weights of the shared parameters' gradients
  std::vector<double> heads;          ///< weights of the heads' gradients
  std::vector<Condition> conditions;  ///< what became of each task's evidence
};

/// What one backward of one sum showed and decided. It belongs to that backward: of two sums in one backward each has its own.
struct Outcome {
  explicit Outcome(std::size_t tasks = 0) : verdict(tasks), gram(tasks * tasks, 0.0), losses(tasks, 0.0), present(tasks, 0) {}

  Verdict verdict;
  std::vector<double> gram;    ///< T x T, with the loss scale squared
  std::vector<double> losses;  ///< read where the rule needs them
  std::vector<std::uint8_t> present;
  bool measured = false;    ///< whether `gram` was
  bool held = false;        ///< whether the weights of an earlier step are
  bool weighed = false;     ///< whether the rule was asked
  double loss_scale = 1;    ///< the size of the gradient that arrived at the loss sum
  at::Tensor device_heads;  ///< [T] doubles, what heads are weighted with, where the verdict is on a device: then it is not here
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
