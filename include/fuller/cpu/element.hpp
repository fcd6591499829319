// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>

namespace fuller {
inline namespace v0_1 {
namespace cpu {

/// IEEE binary16 as its 16 bits; `c10::Half` has the same layout.
struct Half {
  std::uint16_t bits;
};

/// The upper 16 bits of an IEEE binary32; `c10::BFloat16` has the same layout.
struct BFloat16 {
  std::uint16_t bits;
};

namespace detail {

inline float as_float(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline std::uint32_t as_bits(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

}  // namespace detail

inline double to_double(double x) { return x; }
inline double to_double(float x) { return static_cast<double>(x); }
inline double to_double(BFloat16 x) { return static_cast<double>(detail::as_float(static_cast<std::uint32_t>(x.bits) << 16U)); }

/// Exact, subnormals, infinities and NaN included.
inline float to_float(Half x) {
  const std::uint32_t magnitude = x.bits & 0x7FFFU;
  const std::uint32_t sign = static_cast<std::uint32_t>(x.bits & 0x8000U) << 16U;
  if (magnitude >= 0x7C00U) {  // infinity or NaN: the exponent becomes all ones
    return detail::as_float(sign | 0x7F800000U | (magnitude & 0x3FFU) << 13U);
  }
  if (magnitude < 0x0400U) {  // zero or subnormal: magnitude * 2^-24, an exact float
    const float value = static_cast<float>(magnitude) * 0x1p-24F;
    return sign != 0 ? -value : value;
  }
  return detail::as_float(sign | ((magnitude << 13U) + 0x38000000U));  // exponent bias 15 -> 127
}
inline float to_float(BFloat16 x) { return detail::as_float(static_cast<std::uint32_t>(x.bits) << 16U); }
inline float to_float(float x) { return x; }
inline double to_double(Half x) { return static_cast<double>(to_float(x)); }

/// Rounds to nearest, ties to even, as the hardware's conversions do; NaN stays NaN.
inline Half to_half(float x) {
  const std::uint32_t bits = detail::as_bits(x);
  const std::uint32_t sign = (bits & 0x80000000U) >> 16U;
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) {
    return {static_cast<std::uint16_t>(sign | 0x7E00U | ((magnitude >> 13U) & 0x3FFU))};
  }
  if (magnitude >= 0x477FF000U) {  // 65520 and above round to infinity
    return {static_cast<std::uint16_t>(sign | 0x7C00U)};
  }
  if (magnitude < 0x38800000U) {  // below 2^-14: adding 1/2 lets the float adder round at the subnormals' spacing of 2^-24
    return {static_cast<std::uint16_t>(sign | (detail::as_bits(detail::as_float(magnitude) + 0.5F) - 0x3F000000U))};
  }
  const std::uint32_t odd = (magnitude >> 13U) & 1U;
  return {static_cast<std::uint16_t>(sign | ((magnitude - 0x38000000U + 0xFFFU + odd) >> 13U))};
}

/// Rounds to nearest, ties to even; NaN stays NaN.
inline BFloat16 to_bfloat16(float x) {
  const std::uint32_t bits = detail::as_bits(x);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) {
    return {static_cast<std::uint16_t>((bits >> 16U) | 0x40U)};
  }
  return {static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U)};
}

}  // namespace cpu
}  // namespace v0_1
}  // namespace fuller
