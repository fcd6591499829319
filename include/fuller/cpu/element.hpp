// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/halves.hpp>

namespace fuller {
inline namespace v0_1 {
namespace cpu {

using fuller::detail::BFloat16;
using fuller::detail::Half;
using fuller::detail::to_bfloat16;
using fuller::detail::to_float;
using fuller::detail::to_half;

inline float to_float(float x) { return x; }

inline double to_double(double x) { return x; }
inline double to_double(float x) { return static_cast<double>(x); }
inline double to_double(Half x) { return static_cast<double>(to_float(x)); }
inline double to_double(BFloat16 x) { return static_cast<double>(to_float(x)); }

}  // namespace cpu
}  // namespace v0_1
}  // namespace fuller
