// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <fuller/core/halves.hpp>
#include <fuller/core/host_device.hpp>

namespace fuller {
inline namespace v0_1 {
namespace cuda {

/// What a tensor's elements are.
enum class Element : std::uint8_t { float32, float64, float16, bfloat16 };

/// Bytes of one element.
FULLER_HD constexpr int size_of(Element element) { return element == Element::float64 ? 8 : element == Element::float32 ? 4 : 2; }

using fuller::detail::BFloat16;
using fuller::detail::Half;

namespace detail {

/// How many elements 16 bytes hold.
template <class T>
inline constexpr int vector_width = 16 / static_cast<int>(sizeof(T));

/// The type in which weighted sums are held: double for double, float for all others.
template <class T>
struct Wide {
  using type = float;
};
template <>
struct Wide<double> {
  using type = double;
};

using fuller::detail::as_bits;
using fuller::detail::as_float;

FULLER_HD inline float widen(float x) { return x; }
FULLER_HD inline double widen(double x) { return x; }
FULLER_HD inline float widen(Half x) { return fuller::detail::to_float(x); }
FULLER_HD inline float widen(BFloat16 x) { return fuller::detail::to_float(x); }

FULLER_HD inline void narrow(float x, float& out) { out = x; }
FULLER_HD inline void narrow(double x, double& out) { out = x; }
FULLER_HD inline void narrow(float x, Half& out) { out = fuller::detail::to_half(x); }
FULLER_HD inline void narrow(float x, BFloat16& out) { out = fuller::detail::to_bfloat16(x); }

}  // namespace detail
}  // namespace cuda
}  // namespace v0_1
}  // namespace fuller
