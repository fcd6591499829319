// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/host_device.hpp>

namespace fuller {
namespace detail {

/// Solves A x = b for a symmetric positive definite A (n x n, row major) by the square-root-free Cholesky factorisation
/// A = U^T D^-1 U, with D = diag(U); `b` becomes x and the upper triangle of `A` becomes U. The lower triangle is not read.
///
/// Returns false, with A and b spoilt, as soon as a pivot is not above `smallest_pivot`: the matrix is then singular or
/// indefinite as far as its entries tell. The lanes share the rows; each row is updated by one lane, in one order, so their
/// number changes no bit. Rows are contiguous, which lets a compiler vectorise the n^3 / 6 updates.
template <class Lanes>
FULLER_HD bool solve_positive_definite(Lanes lanes, int n, double* A, double* b, double smallest_pivot) {
  for (int k = 0; k < n; ++k) {
    const double* const U_k = A + k * n;
    const double pivot = U_k[k];
    if (!(pivot > smallest_pivot)) {
      return false;
    }
    // Forward substitution rides along: b is treated as one more column.
    for (int i = k + 1 + lanes.index(); i < n; i += Lanes::count) {
      double* const A_i = A + i * n;
      const double factor = U_k[i] / pivot;
      for (int j = i; j < n; ++j) {
        A_i[j] -= factor * U_k[j];
      }
      b[i] -= factor * b[k];
    }
    lanes.sync();
  }
  for (int k = n - 1; k > 0; --k) {
    const double x_k = b[k] / A[k * n + k];
    for (int i = lanes.index(); i < k; i += Lanes::count) {
      b[i] -= A[i * n + k] * x_k;
    }
    lanes.sync();
  }
  for (int i = lanes.index(); i < n; i += Lanes::count) {
    b[i] /= A[i * n + i];
  }
  lanes.sync();
  return true;
}

}  // namespace detail
}  // namespace fuller
