// SPDX-License-Identifier: Apache-2.0
#pragma once

// Numbers as PTX has them: registers' bits, halves, predicates, and conversions between types.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "ptx/grid.hpp"

namespace fuller::ptx {

struct Half {
  std::uint16_t bits;
};
struct Predicate {
  std::uint8_t bits;
  explicit operator bool() const { return bits != 0; }
};
inline Predicate predicate(bool x) { return {static_cast<std::uint8_t>(x ? 1 : 0)}; }

/// Operand k of an instruction.
template <class T>
T get(Thread& t, const Instruction& i, std::size_t k) {
  const std::uint64_t bits = t.value(i, i.from[k]);
  T x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

/// Writes the result. NaNs are made one: their payloads are the device's affair.
template <class T>
void put(Thread& t, const Instruction& i, T x) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &x, sizeof x);
  if constexpr (std::is_same_v<T, double>) {
    bits = std::isnan(x) ? 0x7FF8000000000000U : bits;
  } else if constexpr (std::is_same_v<T, float>) {
    bits = std::isnan(x) ? 0x7FFFFFFFU : bits;
  }
  t.set(i.to[0], bits);
}

inline double from_half(Half h) {
  const int exponent = h.bits >> 10 & 31;
  const double fraction = h.bits & 1023;
  double size = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  if (exponent == 31) {
    size = fraction == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  }
  return (h.bits & 0x8000) != 0 ? -size : size;
}

/// To nearest, ties to even.
inline Half to_half(double x) {
  const unsigned sign = std::signbit(x) ? 0x8000U : 0U;
  if (std::isnan(x)) {
    return {0x7FFF};
  }
  const double size = std::fabs(x);
  if (size >= 65520) {
    return {static_cast<std::uint16_t>(sign | 0x7C00U)};
  }
  const int exponent = size == 0 ? -14 : std::max(std::ilogb(size), -14);
  const double steps = std::nearbyint(std::ldexp(size, 10 - exponent));  // up to 2048: then the next exponent
  return {static_cast<std::uint16_t>(sign | (static_cast<unsigned>((exponent + 14) * 1024) + static_cast<unsigned>(steps)))};
}

template <class S>
S to_whole(S x, char rounding) {
  switch (rounding) {
    case 'z':
      return std::trunc(x);
    case 'm':
      return std::floor(x);
    case 'p':
      return std::ceil(x);
    default:
      return std::nearbyint(x);
  }
}

/// A number that is real as an integer: clamped; NaN is 0, or with 64 bits on either side the largest power of two.
template <class D, class S>
D to_integer(S x, char rounding) {
  if (std::isnan(x)) {
    constexpr auto top = static_cast<std::make_unsigned_t<D>>(std::uint64_t{1} << (8 * sizeof(D) - 1));
    return sizeof(S) == 8 || sizeof(D) == 8 ? static_cast<D>(top) : D{0};
  }
  const S y = to_whole(x, rounding);
  if (y < static_cast<S>(std::numeric_limits<D>::min())) {
    return std::numeric_limits<D>::min();
  }
  return y >= std::ldexp(S{1}, std::numeric_limits<D>::digits) ? std::numeric_limits<D>::max() : static_cast<D>(y);
}

template <class D, class S>
D convert(S x, char rounding) {
  if constexpr (std::is_same_v<S, Half>) {
    return static_cast<D>(from_half(x));
  } else if constexpr (std::is_same_v<D, Half>) {
    return to_half(static_cast<double>(x));
  } else if constexpr (!std::is_floating_point_v<S>) {
    return static_cast<D>(x);
  } else if constexpr (!std::is_floating_point_v<D>) {
    return to_integer<D>(x, rounding);
  } else if constexpr (std::is_same_v<D, S>) {
    return to_whole(x, rounding);
  } else {
    return static_cast<D>(x);
  }
}

}  // namespace fuller::ptx
