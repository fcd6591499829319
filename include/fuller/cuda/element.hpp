// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>

#include <fuller/core/host_device.hpp>

namespace fuller {
inline namespace v0_1 {
namespace cuda {

/// What a tensor's elements are.
enum class Element : std::uint8_t { float32, float64, float16, bfloat16 };

/// Bytes of one element.
FULLER_HD constexpr int size_of(Element element) { return element == Element::float64 ? 8 : element == Element::float32 ? 4 : 2; }

/// IEEE binary16 as its 16 bits.
struct Half {
  std::uint16_t bits;
};

/// The upper 16 bits of an IEEE binary32.
struct BFloat16 {
  std::uint16_t bits;
};

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

FULLER_HD inline float widen(float x) { return x; }
FULLER_HD inline double widen(double x) { return x; }
FULLER_HD inline float widen(BFloat16 x) { return as_float(static_cast<std::uint32_t>(x.bits) << 16U); }
/// Exact, subnormals, infinities and NaN included.
FULLER_HD inline float widen(Half x) {
#if defined(__CUDA_ARCH__)
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(x.bits));
  return value;
#else
  const std::uint32_t sign = static_cast<std::uint32_t>(x.bits & 0x8000U) << 16U;
  const std::uint32_t magnitude = x.bits & 0x7FFFU;
  if (magnitude >= 0x7C00U) {
    return as_float(sign | 0x7F800000U | (magnitude & 0x3FFU) << 13U);
  }
  // The exponents of float are 112 larger; as a product, subnormals come out right too.
  const float value = as_float(magnitude << 13U) * 0x1p112F;
  return as_float(sign | as_bits(value));
#endif
}

FULLER_HD inline void narrow(float x, float& out) { out = x; }
FULLER_HD inline void narrow(double x, double& out) { out = x; }
/// Rounds to nearest, ties to even; NaN stays NaN.
FULLER_HD inline void narrow(float x, BFloat16& out) {
  const std::uint32_t bits = as_bits(x);
  const bool is_nan = (bits & 0x7FFFFFFFU) > 0x7F800000U;
  const std::uint32_t rounded = (bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U;
  out.bits = static_cast<std::uint16_t>(is_nan ? (bits >> 16U) | 0x40U : rounded);
}
/// Rounds to nearest, ties to even; NaN stays NaN.
FULLER_HD inline void narrow(float x, Half& out) {
#if defined(__CUDA_ARCH__)
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(out.bits) : "f"(x));
#else
  const std::uint32_t sign = (as_bits(x) & 0x80000000U) >> 16U;
  const std::uint32_t magnitude = as_bits(x) & 0x7FFFFFFFU;
  std::uint32_t half = 0;
  if (magnitude > 0x7F800000U) {
    half = 0x7E00U;
  } else if (magnitude >= 0x477FF000U) {  // 65520 and above round to infinity
    half = 0x7C00U;
  } else if (magnitude < 0x38800000U) {  // below 2^-14: adding 1/2 rounds at the subnormals' spacing of 2^-24
    half = as_bits(as_float(magnitude) + 0.5F) - 0x3F000000U;
  } else {
    half = (magnitude - 0x38000000U + 0xFFFU + ((magnitude >> 13U) & 1U)) >> 13U;
  }
  out.bits = static_cast<std::uint16_t>(sign | half);
#endif
}

}  // namespace detail
}  // namespace cuda
}  // namespace v0_1
}  // namespace fuller
