// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <fuller/core/evidence.hpp>
#include <fuller/core/host_device.hpp>
#include <fuller/core/linear_algebra.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Writes C_ab + (diagonal - 1) [a = b] for a <= b, with C the cosines of the present tasks, whose norms are n.
template <class Lanes, int Tasks>
FULLER_HD void cosines(Lanes lanes, const Evidence<Tasks>& evidence, const std::uint8_t* index, int K, const double* n, double* C,
                       double diagonal) {
  for (int a = lanes.index(); a < K; a += Lanes::count) {
    C[a * K + a] = diagonal;
    double* const C_a = C + a * K;
    const double n_a = n[a];
    if (K == evidence.tasks()) {  // rows are contiguous, which lets a compiler vectorise the divisions
      const double* const M_a = evidence.gram + a * K;
      for (int b = a + 1; b < K; ++b) {
        C_a[b] = M_a[b] / (n_a * n[b]);
      }
    } else {
      for (int b = a + 1; b < K; ++b) {
        C_a[b] = evidence.dot(index[a], index[b]) / (n_a * n[b]);
      }
    }
  }
}

/// The weights beta of unit gradients whose sum has the same projection on each: writes beta ~ C^-1 1 and returns
/// s = 1^T beta > 0, both up to one positive factor. C, the matrix of cosines, is work space of K x K doubles.
///
/// For two tasks beta = (1, 1), and so it is for more where C is no matrix of cosines even to nine digits. Otherwise, Cholesky;
/// where C is singular, of C + 1e-9 I. s is a sum of squares over pivots, so its sign is never that of a rounding error.
template <class Lanes, int Tasks>
FULLER_HD double equal_projections(Lanes lanes, const Evidence<Tasks>& evidence, const std::uint8_t* index, int K,
                                   const double* n, double* beta, double* C) {
  constexpr double smallest_pivot = 2e-15;  // for each task: eight rounding errors
  constexpr double regularised = 1 + 1e-9;
  const double diagonals[] = {1, regularised};
  for (int attempt = 0; attempt < 2 && K > 2; ++attempt) {
    lanes.sync();
    for (int a = lanes.index(); a < K; a += Lanes::count) {
      beta[a] = 1;
    }
    cosines(lanes, evidence, index, K, n, C, diagonals[attempt]);
    lanes.sync();
    double s = 0;
    if (solve_positive_definite(lanes, K, C, beta, smallest_pivot * K, &s)) {
      return s;
    }
  }
  lanes.sync();
  for (int a = lanes.index(); a < K; a += Lanes::count) {
    beta[a] = 1;
  }
  lanes.sync();
  return K;
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
