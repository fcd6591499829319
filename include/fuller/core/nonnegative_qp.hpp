// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>

#include <fuller/core/floating.hpp>
#include <fuller/core/host_device.hpp>
#include <fuller/core/linear_algebra.hpp>
#include <fuller/core/scratch.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// The smallest of x^T A x / 2 + q^T x over x >= 0, for a Gram matrix A (n x n, row major) of vectors of about unit length. With
/// y = A x + q the conditions are x >= 0, y >= 0, x_i y_i = 0.
///
/// That is the nearest point d = d_0 + sum_i x_i a_i to d_0 with <a_i, d> >= b_i, where q_i = <a_i, d_0> - b_i. Solved as such by
/// the dual active-set method of Goldfarb and Idnani (1983), in terms of A alone: the constraint that is violated most enters,
/// the step is cut where the multiplier of an active one would fall below 0, that one leaves. Each entry raises the dual
/// objective, so the end is reached after finitely many. The tableau W is A swept over the active set P: -A_PP^-1, A_PP^-1 A_PN
/// and the Schur complement; an entry or exit is one sweep, n^2 products. At the end the active set's system is solved once more,
/// by Cholesky.
///
/// Rounding. A constraint within 1e-13 of being met, relative to the largest |q_i|, is met; one is violated more than another by
/// more than 1e-12 or the first counts; a vector whose residual over the active ones is below rounding depends on them, and can
/// only enter in exchange. So ties go to the lower number whichever way rounding falls.
struct NonnegativeQp {
  FULLER_HD static int scratch_size(int n) { return n * n + n + doubles_for_bytes(n); }

  /// Writes x. Returns false, with x where the search ended, if the objective has no smallest value (no d meets all constraints),
  /// or none that doubles can tell from that: the conditions are not met to 1e-10 of the largest |q_i|, or x is 1e4 of it.
  /// x and y = A x + q of n doubles each, `scratch` of scratch_size(n).
  template <class Lanes>
  FULLER_NOINLINE FULLER_HD static bool solve(Lanes lanes, int n, const double* A, const double* q, double* x, double* y,
                                              double* scratch) {
    Scratch work(scratch);
    double* const W = work.doubles(n * n);
    double* const solution = work.doubles(n);
    std::uint8_t* const active = work.bytes(n);
    double size = 0;
    for (int i = 0; i < n; ++i) {
      size = larger(size, std::fabs(q[i]));
    }
    for (int i = lanes.index(); i < n; i += Lanes::count) {
      x[i] = 0;
      y[i] = q[i];
      active[i] = 0;
      for (int j = 0; j < n; ++j) {
        W[i * n + j] = A[i * n + j];
      }
    }
    lanes.sync();
    bool bounded = true;
    for (int entered = 0; entered < most_entries * n && bounded; ++entered) {
      const int p = most_violated(n, y, active, size);
      if (p < 0) {
        break;
      }
      bounded = enter(lanes, n, A, p, W, x, y, active);
    }
    lanes.sync();
    polish(lanes, n, A, q, active, rounding_noise * size, W, solution, x);
    for (int i = lanes.index(); i < n; i += Lanes::count) {
      double sum = q[i];
      for (int j = 0; j < n; ++j) {
        sum += A[i * n + j] * x[j];
      }
      y[i] = sum;
    }
    lanes.sync();
    for (int i = 0; i < n && bounded; ++i) {
      bounded = x[i] <= longest * size && y[i] >= -trusted * size && (x[i] == 0 || y[i] <= trusted * size);
    }
    return bounded;
  }

 private:
  static constexpr int most_entries = 20;  // for each constraint; one or two is what is seen
  static constexpr double met = 1e-13;
  static constexpr double dependent = 4e-15;  // for each constraint
  static constexpr double trusted = 1e-10;
  static constexpr double longest = 1e4;  // more is asked of gradients that all but cancel

  FULLER_HD static int most_violated(int n, const double* y, const std::uint8_t* active, double size) {
    int p = -1;
    for (int i = 0; i < n; ++i) {
      const double least = p < 0 ? -met * size : y[p] - rounding_noise * size;
      p = active[i] == 0 && y[i] < least ? i : p;
    }
    return p;
  }

  /// Raises x_p from 0 until its constraint is met, and makes it active; false if nothing stops it.
  template <class Lanes>
  FULLER_HD static bool enter(Lanes lanes, int n, const double* A, int p, double* W, double* x, double* y, std::uint8_t* active) {
    for (int exits = 0; exits <= n; ++exits) {
      const double complement = W[p * n + p];
      const bool depends = !(complement > dependent * n * A[p * n + p]);
      double t = depends ? largest_double : -y[p] / complement;
      int leaving = -1;
      for (int j = 0; j < n; ++j) {
        if (active[j] != 0 && W[j * n + p] > rounding_noise) {
          const double until = x[j] / W[j * n + p];
          if (until < (leaving < 0 ? t : t * (1 - rounding_noise))) {
            t = until;
            leaving = j;
          }
        }
      }
      if (leaving < 0 && depends) {
        return false;
      }
      lanes.sync();
      for (int j = lanes.index(); j < n; j += Lanes::count) {
        if (j == p) {
          x[j] += t;
          y[j] = leaving < 0 ? 0 : y[j] + t * complement;
        } else if (active[j] != 0) {
          x[j] = j == leaving ? 0 : larger(x[j] - t * W[j * n + p], 0);
        } else {
          y[j] += t * W[j * n + p];
        }
      }
      lanes.sync();
      sweep(lanes, n, W, leaving < 0 ? p : leaving, leaving < 0 ? 1.0 : -1.0);
      if (lanes.index() == 0) {
        active[leaving < 0 ? p : leaving] = static_cast<std::uint8_t>(leaving < 0 ? 1 : 0);
      }
      lanes.sync();
      if (leaving < 0) {
        return true;
      }
    }
    return true;
  }

  /// The sweep operator on index k, or, for sign = -1, its inverse.
  template <class Lanes>
  FULLER_NOINLINE FULLER_HD static void sweep(Lanes lanes, int n, double* W, int k, double sign) {
    const double pivot = W[k * n + k];
    const double* const W_k = W + k * n;
    lanes.sync();
    for (int i = lanes.index(); i < n; i += Lanes::count) {
      if (i == k) {
        continue;
      }
      double* const W_i = W + i * n;
      const double factor = W_i[k] / pivot;
      for (int j = 0; j < n; ++j) {
        W_i[j] -= factor * W_k[j];
      }
      W_i[k] = sign * factor;
    }
    lanes.sync();
    for (int j = lanes.index(); j < n; j += Lanes::count) {
      W[k * n + j] = j == k ? -1 / pivot : sign * W[k * n + j] / pivot;
    }
    lanes.sync();
  }

  /// x from the active set alone: A_PP x_P = -q_P, unless that says that the set was not quite the right one. What is left of an
  /// x that is 0 by mathematics is 0, so that nobody takes it for a weight.
  template <class Lanes>
  FULLER_HD static void polish(Lanes lanes, int n, const double* A, const double* q, const std::uint8_t* active, double noise,
                               double* U, double* solution, double* x) {
    const int size = count(n, active);
    int m = 0;
    for (int i = 0; i < n; ++i) {
      if (active[i] == 0) {
        continue;
      }
      int column = 0;
      for (int j = 0; j < n; ++j) {
        if (active[j] != 0) {
          if (m % Lanes::count == lanes.index()) {
            U[m * size + column] = A[i * n + j];
          }
          ++column;
        }
      }
      if (m % Lanes::count == lanes.index()) {
        solution[m] = -q[i];
      }
      ++m;
    }
    lanes.sync();
    if (!solve_positive_definite(lanes, m, U, solution, dependent * m)) {
      return;
    }
    for (int k = 0; k < m; ++k) {
      if (!(solution[k] >= -noise)) {
        return;
      }
    }
    int k = 0;
    for (int i = 0; i < n; ++i) {
      if (active[i] != 0) {
        if (i % Lanes::count == lanes.index()) {
          x[i] = solution[k] > noise ? solution[k] : 0;
        }
        ++k;
      } else if (i % Lanes::count == lanes.index()) {
        x[i] = 0;
      }
    }
    lanes.sync();
  }

  FULLER_HD static int count(int n, const std::uint8_t* active) {
    int m = 0;
    for (int i = 0; i < n; ++i) {
      m += active[i] != 0 ? 1 : 0;
    }
    return m;
  }
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
