// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>

#include <fuller/core/host_device.hpp>

namespace fuller {
inline namespace v0_1 {

/// Stands for a number of tasks (or branches) that is known at run time only.
inline constexpr int dynamic = -1;

/// What a rule may look at: views of what one step showed of its T tasks. Owns nothing, and is small enough to be a kernel's
/// argument.
///
/// With `Tasks` given, the compiler knows the length of loops over tasks; with `dynamic` the length is `count`.
template <int Tasks = dynamic>
struct Evidence {
  /// T, where `Tasks` is `dynamic`; ignored otherwise.
  int count = Tasks;
  /// Gram matrix M of the task gradients, T x T, row major, symmetric: M_ij = <g_i, g_j>. Rows and columns of absent tasks
  /// are unspecified. The gradients carry `loss_scale` as a factor. Null if the rule does not need it.
  const double* gram = nullptr;
  /// The T loss values, without `loss_scale`. Those of absent tasks are unspecified. Null if the rule does not need them.
  const double* losses = nullptr;
  /// T flags: 0 where the task has no loss in this step. Never null.
  const std::uint8_t* present = nullptr;
  /// How many steps came before this one; the counter of every random draw.
  std::int64_t step = 0;
  /// How many epochs were ended before this step.
  std::int64_t epoch = 0;
  /// The factor S that the summed loss was multiplied with (mixed precision): |g_i| / S is the norm of the unscaled gradient.
  double loss_scale = 1;
  /// Whether this is a step in which the rule is not asked: its weights are held, and `gram` and `losses` may be null whatever it
  /// needs. A rule never sees it set.
  bool held = false;

  FULLER_HD constexpr int tasks() const {
    if constexpr (Tasks == dynamic) {
      return count;
    } else {
      return Tasks;
    }
  }
  FULLER_HD double dot(int i, int j) const { return gram[i * tasks() + j]; }
  FULLER_HD double norm(int i) const { return std::sqrt(dot(i, i)); }
};

/// What a modality gate may look at: the branches of one fusion layer, in one step.
template <int Branches = dynamic>
struct BranchEvidence {
  /// M, where `Branches` is `dynamic`; ignored otherwise.
  int count = Branches;
  /// M squared L2 norms of gradients: entry m is that of the slice of the fusion weight that reads branch m. Those of absent
  /// branches are unspecified.
  const double* squared_norms = nullptr;
  /// M numbers of elements of those slices, for norms per element.
  const double* sizes = nullptr;
  /// M scores, higher for branches that do better; NaN where none was given. Null for a law that reads no scores.
  const double* scores = nullptr;
  /// M flags: 0 where the branch's modality is absent in this step. Never null.
  const std::uint8_t* present = nullptr;

  FULLER_HD constexpr int branches() const {
    if constexpr (Branches == dynamic) {
      return count;
    } else {
      return Branches;
    }
  }
};

}  // namespace v0_1
}  // namespace fuller
