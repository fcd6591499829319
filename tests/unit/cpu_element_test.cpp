// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdint>
#include <limits>

#include <fuller/cpu/element.hpp>

#include "support/catch.hpp"

namespace {

using fuller::cpu::BFloat16;
using fuller::cpu::Half;

// IEEE 754 binary16 by its definition: (-1)^s 2^(e - 25) (1024 + m), with subnormals (-1)^s 2^-24 m.
double half_by_definition(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int mantissa = bits & 1023;
  const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == 31) {
    return mantissa != 0 ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
  }
  return exponent == 0 ? sign * std::ldexp(mantissa, -24) : sign * std::ldexp(1024 + mantissa, exponent - 25);
}

TEST_CASE("every half is read as its definition says", "[cpu][element]") {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const Half half{static_cast<std::uint16_t>(bits)};
    const double expected = half_by_definition(half.bits);
    const double value = fuller::cpu::to_double(half);
    if (std::isnan(expected)) {
      REQUIRE(std::isnan(value));
    } else {
      REQUIRE(value == expected);
      REQUIRE(std::signbit(value) == std::signbit(expected));
    }
  }
}

TEST_CASE("rounding to half is to nearest, ties to even, between every two neighbours", "[cpu][element]") {
  for (std::uint16_t low = 0; low < 0x7C00; ++low) {
    const std::uint16_t high = static_cast<std::uint16_t>(low + 1);
    const double below = half_by_definition(low);
    // The value after the largest half would be 2^16, were there room: from the middle on, infinity.
    const double above = high == 0x7C00 ? 65536.0 : half_by_definition(high);
    const float middle = static_cast<float>((below + above) / 2);  // 12 significant bits: exact
    const std::uint16_t even = (low & 1U) == 0 ? low : high;
    REQUIRE(fuller::cpu::to_half(static_cast<float>(below)).bits == low);
    REQUIRE(fuller::cpu::to_half(middle).bits == even);
    REQUIRE(fuller::cpu::to_half(std::nextafter(middle, 0.0F)).bits == low);
    REQUIRE(fuller::cpu::to_half(std::nextafter(middle, 1e9F)).bits == high);
    REQUIRE(fuller::cpu::to_half(-middle).bits == (even | 0x8000U));
  }
  REQUIRE(fuller::cpu::to_half(std::numeric_limits<float>::infinity()).bits == 0x7C00);
  REQUIRE(fuller::cpu::to_half(std::numeric_limits<float>::max()).bits == 0x7C00);
  REQUIRE(std::isnan(half_by_definition(fuller::cpu::to_half(std::numeric_limits<float>::quiet_NaN()).bits)));
}

TEST_CASE("bfloat16 is the upper half of a float, rounded to nearest even", "[cpu][element]") {
  for (unsigned bits = 0; bits < 0x7F80; ++bits) {
    const std::uint16_t low = static_cast<std::uint16_t>(bits);
    const std::uint32_t wide = static_cast<std::uint32_t>(low) << 16;
    const std::uint16_t even = (low & 1U) == 0 ? low : static_cast<std::uint16_t>(low + 1);
    REQUIRE(fuller::cpu::to_bfloat16(fuller::detail::as_float(wide)).bits == low);
    REQUIRE(fuller::cpu::to_bfloat16(fuller::detail::as_float(wide | 0x7FFF)).bits == low);
    REQUIRE(fuller::cpu::to_bfloat16(fuller::detail::as_float(wide | 0x8000)).bits == even);
    REQUIRE(fuller::cpu::to_bfloat16(fuller::detail::as_float(wide | 0x8001)).bits == low + 1);
    REQUIRE(fuller::cpu::to_double(BFloat16{low}) == static_cast<double>(fuller::detail::as_float(wide)));
  }
  const BFloat16 nan = fuller::cpu::to_bfloat16(fuller::detail::as_float(0x7F800001));
  REQUIRE(std::isnan(fuller::cpu::to_double(nan)));
}

}  // namespace
