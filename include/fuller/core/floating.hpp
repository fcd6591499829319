// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>

#include <fuller/core/host_device.hpp>

namespace fuller {
namespace detail {

// Constants, because the functions of <limits> and the predicates of <cmath> cannot all be called in device code.
inline constexpr double largest_double = std::numeric_limits<double>::max();
inline constexpr double quiet_nan = std::numeric_limits<double>::quiet_NaN();

FULLER_HD constexpr bool is_finite(double x) { return x >= -largest_double && x <= largest_double; }

FULLER_HD constexpr double larger(double a, double b) { return a < b ? b : a; }

}  // namespace detail
}  // namespace fuller
