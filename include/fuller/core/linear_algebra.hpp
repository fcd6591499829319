// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/host_device.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Exchanges rows and columns k < p of a symmetric matrix of which the upper triangle is there, and entries k and p of b.
template <class Lanes>
FULLER_HD void exchange(Lanes lanes, int n, double* A, double* b, int k, int p) {
  const auto swap = [](double& x, double& y) {
    const double kept = x;
    x = y;
    y = kept;
  };
  for (int i = lanes.index(); i < n; i += Lanes::count) {
    if (i < k) {
      swap(A[i * n + k], A[i * n + p]);
    } else if (i == k) {
      swap(A[k * n + k], A[p * n + p]);
      swap(b[k], b[p]);
    } else if (i < p) {
      swap(A[k * n + i], A[i * n + p]);
    } else if (i > p) {
      swap(A[k * n + i], A[p * n + i]);
    }
  }
  lanes.sync();
}

/// The first i >= k whose A_ii is the largest of those.
FULLER_HD inline int largest_on_diagonal(int n, const double* A, int k) {
  const auto larger_of = [](double x, double y) { return y > x ? y : x; };
  const int next = n + 1;
  const double* const A_kk = A + k * next;
  const int count = n - k;
  // Four at a time: a comparison then does not wait for the one before it.
  double a = *A_kk;
  double b = a;
  double c = a;
  double d = a;
  int i = 1;
  for (; i + 3 < count; i += 4) {
    a = larger_of(a, A_kk[i * next]);
    b = larger_of(b, A_kk[(i + 1) * next]);
    c = larger_of(c, A_kk[(i + 2) * next]);
    d = larger_of(d, A_kk[(i + 3) * next]);
  }
  for (; i < count; ++i) {
    a = larger_of(a, A_kk[i * next]);
  }
  const double largest = larger_of(larger_of(a, b), larger_of(c, d));
  for (i = 0; i < count; ++i) {
    if (A_kk[i * next] == largest) {
      return k + i;
    }
  }
  return k;  // not a number
}

/// Solves A x = b for a symmetric positive definite A (n x n, row major) by the square-root-free Cholesky factorisation
/// P A P^T = U^T D^-1 U, with D = diag(U); `b` becomes x. Of A the upper triangle is read; all of it is work space.
///
/// Returns false, with A and b spoilt, as soon as a pivot is not above `smallest_pivot`: the matrix is then singular or
/// indefinite as far as its entries tell. The largest diagonal element is the next pivot (P), so that no factor is above 1 and
/// pivots carry rounding errors of n 1e-16 of the diagonal: a bound above that, and not the sign of such an error, decides.
/// Backward stable: x solves (A + E) x = b with |E| of n 1e-16 |A|.
///
/// `quadratic_form`, where given, becomes b^T A^-1 b, as a sum of squares over pivots: positive whatever is rounded, which the
/// sum of b_i x_i is not. Every lane writes it. The lanes share the rows; each row is updated by one lane, in one order, so their
/// number changes no bit. Rows are contiguous, which lets a compiler vectorise the n^3 / 6 updates.
template <class Lanes>
FULLER_NOINLINE FULLER_HD bool solve_positive_definite(Lanes lanes, int n, double* A, double* b, double smallest_pivot,
                                                       double* quadratic_form = nullptr) {
  double form = 0;
  for (int k = 0; k < n; ++k) {
    const int p = largest_on_diagonal(n, A, k);
    if (!(A[p * n + p] > smallest_pivot)) {
      return false;
    }
    lanes.sync();  // all lanes have looked for it, before any changes a diagonal
    if (p != k) {
      exchange(lanes, n, A, b, k, p);
    }
    if (lanes.index() == 0 && k + 1 < n) {
      A[(k + 1) * n] = p;  // below the diagonal, where nothing is read
    }
    const double* const U_k = A + k * n;
    const double pivot = U_k[k];
    form += b[k] * b[k] / pivot;
    // Forward substitution rides along: b is treated as one more column.
    int i = k + 1 + lanes.index();
    if constexpr (Lanes::count == 1) {
      // Two rows at a time, which read U_k once. A device's lane has no more than two in all, and few registers.
      for (; i + 1 < n; i += 2) {
        const int l = i + 1;
        double* const A_i = A + i * n;
        double* const A_l = A + l * n;
        const double of_i = U_k[i] / pivot;
        const double of_l = U_k[l] / pivot;
        A_i[i] -= of_i * U_k[i];
        for (int j = l; j < n; ++j) {
          A_i[j] -= of_i * U_k[j];
          A_l[j] -= of_l * U_k[j];
        }
        b[i] -= of_i * b[k];
        b[l] -= of_l * b[k];
      }
    }
    for (; i < n; i += Lanes::count) {
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
  for (int k = n - 2; k >= 0 && lanes.index() == 0; --k) {
    const auto p = static_cast<int>(A[(k + 1) * n]);
    const double kept = b[k];
    b[k] = b[p];
    b[p] = kept;
  }
  lanes.sync();
  if (quadratic_form != nullptr) {
    *quadratic_form = form;
  }
  return true;
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
