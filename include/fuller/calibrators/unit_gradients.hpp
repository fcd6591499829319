// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <fuller/core/evidence.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/host_device.hpp>
#include <fuller/core/nonnegative_qp.hpp>
#include <fuller/core/present_tasks.hpp>
#include <fuller/core/scratch.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// A rule's quadratic programme over the unit gradients of the present tasks: what UPGrad and rules like it have in common.
struct UnitGradients {
  std::uint8_t* index;
  int K;
  double* n;  ///< norms
  double* C;  ///< cosines, both triangles
  double* q;
  double* x;
  double* y;
  double* work;

  FULLER_HD static int scratch_size(int tasks) {
    return tasks * tasks + 4 * tasks + doubles_for_bytes(tasks) + NonnegativeQp::scratch_size(tasks);
  }

  template <class Lanes, int Tasks>
  FULLER_HD static UnitGradients of(Lanes lanes, const Evidence<Tasks>& evidence, double* scratch) {
    const int T = evidence.tasks();
    Scratch pieces(scratch);
    UnitGradients all{};
    all.index = pieces.bytes(T);
    all.K = present_tasks(lanes, evidence, all.index);
    all.n = pieces.doubles(T);
    all.q = pieces.doubles(T);
    all.x = pieces.doubles(T);
    all.y = pieces.doubles(T);
    all.C = pieces.doubles(T * T);
    all.work = pieces.rest();
    const int K = all.K;
    for (int i = lanes.index(); i < K; i += Lanes::count) {
      all.n[i] = evidence.norm(all.index[i]);
    }
    lanes.sync();
    for (int i = lanes.index(); i < K; i += Lanes::count) {
      for (int j = 0; j < K; ++j) {
        all.C[i * K + j] = i == j ? 1 : evidence.dot(all.index[i], all.index[j]) / (all.n[i] * all.n[j]);
      }
    }
    lanes.sync();
    return all;
  }

  FULLER_HD double largest_norm() const {
    double largest = 0;
    for (int i = 0; i < K; ++i) {
      largest = larger(largest, n[i]);
    }
    return largest;
  }

  /// Writes the x >= 0 with the smallest x^T C x / 2 + q^T x, for the q that was written before.
  /// @return whether there is one
  template <class Lanes>
  FULLER_HD bool solve(Lanes lanes) const {
    return NonnegativeQp::solve(lanes, K, C, q, x, y, work);
  }
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
