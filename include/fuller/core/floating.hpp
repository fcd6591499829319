// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>

#include <fuller/core/host_device.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

// Constants, because the functions of <limits> and the predicates of <cmath> cannot all be called in device code.
inline constexpr double largest_double = std::numeric_limits<double>::max();
inline constexpr double quiet_nan = std::numeric_limits<double>::quiet_NaN();

FULLER_HD constexpr bool is_finite(double x) { return x >= -largest_double && x <= largest_double; }

FULLER_HD constexpr double larger(double a, double b) { return a < b ? b : a; }

/// Two numbers whose difference is no more than this share of them are equal but for rounding, as far as a rule may tell: a
/// difference of products that is 0 by mathematics is, in doubles, an error of a few 1e-16 whose sign depends on the compiler
/// (fused multiply-add) and the order of sums. fuller's reductions promise products to 1e-12 of n_i n_j.
inline constexpr double rounding_noise = 1e-12;

/// A gradient no longer than this share of the longest is rounding noise: 0 by mathematics. A thousand rounding errors of
/// doubles, as many as a backward leaves that cancels to 0 (group norm of one element multiplies them by 1 / sqrt(eps) = 316),
/// and a thousandth of the 1e-10 that losses in different units may lie apart.
inline constexpr double zero_gradient = 1e-13;

/// x s_i s_j for s_i, s_j >= 0, in an order in which no product of two leaves the range of doubles unless all three do. The same
/// for s_j, s_i.
FULLER_HD constexpr double scaled_twice(double x, double s_i, double s_j) {
  const double lesser = s_i < s_j ? s_i : s_j;
  const double greater = s_i < s_j ? s_j : s_i;
  return x > 1 || x < -1 ? x * lesser * greater : x * greater * lesser;
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
