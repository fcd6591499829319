// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/core/floating.hpp>
#include <fuller/core/host_device.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// The rotation of rows and columns p < q that makes A_pq zero: cosine c and sine s, the smaller of the two angles.
struct Rotation {
  double c = 1;
  double s = 0;
};

FULLER_HD inline Rotation jacobi_rotation(double a_pp, double a_pq, double a_qq) {
  if (!(std::fabs(a_pq) > 1e-17 * std::sqrt(std::fabs(a_pp)) * std::sqrt(std::fabs(a_qq)))) {
    return {};
  }
  const double theta = (a_qq - a_pp) / (2 * a_pq);
  // For large |theta| the square would leave the range of doubles.
  const double t =
      std::fabs(theta) > 1e150 ? 1 / (2 * theta) : (theta < 0 ? -1.0 : 1.0) / (std::fabs(theta) + std::sqrt(theta * theta + 1));
  const double c = 1 / std::sqrt(t * t + 1);
  return {c, t * c};
}

/// The pair number k of n / 2 in round r of n - 1, for even n: each pair meets once in the n - 1 rounds, and the pairs of one
/// round have no index in common (the schedule of a tournament).
FULLER_HD inline void tournament_pair(int n, int round, int k, int& p, int& q) {
  const int first = k == 0 ? n - 1 : (round + k) % (n - 1);
  const int second = (round + n - 1 - k) % (n - 1);
  p = first < second ? first : second;
  q = first < second ? second : first;
}

/// A = V^T diag(lambda) V for a symmetric A (n x n, row major, both triangles there) by Jacobi's method: A's diagonal becomes
/// lambda, in no order, and row k of V the unit eigenvector of the k-th. `rotations` is work space of n + 1 doubles.
///
/// Pairs go by rounds of disjoint ones, so that the lanes share a round: its rotations, then columns, then rows. Each number is
/// formed by one lane in one order, whatever their number. Ends with the sweep that finds nothing to rotate: some eight; the
/// bound of forty is for entries that are not numbers.
template <class Lanes>
FULLER_HD void symmetric_eigen(Lanes lanes, int n, double* A, double* V, double* rotations) {
  constexpr int most_sweeps = 40;
  for (int i = lanes.index(); i < n; i += Lanes::count) {
    for (int j = 0; j < n; ++j) {
      V[i * n + j] = i == j ? 1 : 0;
    }
  }
  lanes.sync();
  const int even = n + n % 2;
  for (int sweep = 0; sweep < most_sweeps; ++sweep) {
    bool turned = false;
    for (int round = 0; round < even - 1; ++round) {
      for (int k = lanes.index(); k < even / 2; k += Lanes::count) {
        int p = 0;
        int q = 0;
        tournament_pair(even, round, k, p, q);
        const Rotation rotation = q < n ? jacobi_rotation(A[p * n + p], A[p * n + q], A[q * n + q]) : Rotation();
        rotations[2 * k] = rotation.c;
        rotations[2 * k + 1] = rotation.s;
      }
      lanes.sync();
      bool any = false;
      for (int k = 0; k < even / 2; ++k) {
        any = any || rotations[2 * k + 1] != 0;
      }
      if (!any) {
        lanes.sync();
        continue;
      }
      turned = true;
      for (int i = lanes.index(); i < n; i += Lanes::count) {
        double* const row = A + i * n;
        for (int k = 0; k < even / 2; ++k) {
          int p = 0;
          int q = 0;
          tournament_pair(even, round, k, p, q);
          const double c = rotations[2 * k];
          const double s = rotations[2 * k + 1];
          if (s != 0) {
            const double a_p = row[p];
            const double a_q = row[q];
            row[p] = c * a_p - s * a_q;
            row[q] = s * a_p + c * a_q;
          }
        }
      }
      lanes.sync();
      for (int k = lanes.index(); k < even / 2; k += Lanes::count) {
        int p = 0;
        int q = 0;
        tournament_pair(even, round, k, p, q);
        const double c = rotations[2 * k];
        const double s = rotations[2 * k + 1];
        if (s == 0) {
          continue;
        }
        double* const matrices[] = {A, V};
        for (double* const matrix : matrices) {
          double* const row_p = matrix + p * n;
          double* const row_q = matrix + q * n;
          for (int j = 0; j < n; ++j) {
            const double x_p = row_p[j];
            const double x_q = row_q[j];
            row_p[j] = c * x_p - s * x_q;
            row_q[j] = s * x_p + c * x_q;
          }
        }
        A[p * n + q] = A[q * n + p] = 0;
      }
      lanes.sync();
    }
    if (!turned) {
      return;
    }
  }
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
