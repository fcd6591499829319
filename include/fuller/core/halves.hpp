// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>

#include <fuller/core/host_device.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// IEEE binary16 as its 16 bits; `c10::Half` has the same layout.
struct Half {
  std::uint16_t bits;
};

/// The upper 16 bits of an IEEE binary32; `c10::BFloat16` has the same layout.
struct BFloat16 {
  std::uint16_t bits;
};

FULLER_HD inline float as_float(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

FULLER_HD inline std::uint32_t as_bits(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

/// Exact, subnormals, infinities and NaN included.
FULLER_HD inline float to_float(Half x) {
#if defined(__CUDA_ARCH__)
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(x.bits));
  return value;
#else
  const std::uint32_t magnitude = x.bits & 0x7FFFU;
  const std::uint32_t sign = static_cast<std::uint32_t>(x.bits & 0x8000U) << 16U;
  if (magnitude >= 0x7C00U) {  // infinity or NaN: the exponent becomes all ones
    return as_float(sign | 0x7F800000U | (magnitude & 0x3FFU) << 13U);
  }
  if (magnitude < 0x0400U) {  // zero or subnormal: magnitude * 2^-24, an exact float
    const float value = static_cast<float>(magnitude) * 0x1p-24F;
    return sign != 0 ? -value : value;
  }
  return as_float(sign | ((magnitude << 13U) + 0x38000000U));  // exponent bias 15 -> 127
#endif
}
FULLER_HD inline float to_float(BFloat16 x) { return as_float(static_cast<std::uint32_t>(x.bits) << 16U); }

/// Rounds to nearest, ties to even, as the hardware's conversions do; NaN stays NaN.
FULLER_HD inline Half to_half(float x) {
  Half half;
#if defined(__CUDA_ARCH__)
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half.bits) : "f"(x));
#else
  const std::uint32_t bits = as_bits(x);
  const std::uint32_t sign = (bits & 0x80000000U) >> 16U;
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  std::uint32_t rounded = 0;
  if (magnitude > 0x7F800000U) {
    rounded = 0x7E00U | ((magnitude >> 13U) & 0x3FFU);
  } else if (magnitude >= 0x477FF000U) {  // 65520 and above round to infinity
    rounded = 0x7C00U;
  } else if (magnitude < 0x38800000U) {  // below 2^-14: adding 1/2 lets the float adder round at the subnormals' spacing of 2^-24
    rounded = as_bits(as_float(magnitude) + 0.5F) - 0x3F000000U;
  } else {
    rounded = (magnitude - 0x38000000U + 0xFFFU + ((magnitude >> 13U) & 1U)) >> 13U;
  }
  half.bits = static_cast<std::uint16_t>(sign | rounded);
#endif
  return half;
}

/// Rounds to nearest, ties to even; NaN stays NaN.
FULLER_HD inline BFloat16 to_bfloat16(float x) {
  const std::uint32_t bits = as_bits(x);
  const bool is_nan = (bits & 0x7FFFFFFFU) > 0x7F800000U;
  const std::uint32_t rounded = (bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U;
  return {static_cast<std::uint16_t>(is_nan ? (bits >> 16U) | 0x40U : rounded)};
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
