// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/host_device.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

// The upper triangle of a symmetric matrix, its diagonal included, row after row.

/// Pairs (i, j), i <= j, of so many rows.
template <class Int>
FULLER_HD constexpr Int pair_count(Int rows) {
  return rows * (rows + 1) / 2;
}

/// The number of the pair (i, j), i <= j.
template <class Int>
FULLER_HD constexpr Int pair_index(Int i, Int j, Int rows) {
  return i * rows - i * (i - 1) / 2 + (j - i);
}

struct Pair {
  int i;
  int j;
};

/// The pair with number p.
FULLER_HD constexpr Pair pair_at(int p, int rows) {
  int i = 0;
  while (p >= rows - i) {
    p -= rows - i;
    ++i;
  }
  return {i, i + p};
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
