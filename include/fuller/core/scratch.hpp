// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <fuller/core/host_device.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// How many doubles hold `count` bytes.
FULLER_HD constexpr int doubles_for_bytes(int count) { return (count + 7) / 8; }

/// Deals out a caller's work space piece by piece, in the order in which a rule asks.
class Scratch {
 public:
  FULLER_HD explicit Scratch(double* begin) : next_(begin) {}

  FULLER_HD double* doubles(int count) {
    double* const piece = next_;
    next_ += count;
    return piece;
  }

  FULLER_HD std::uint8_t* bytes(int count) { return reinterpret_cast<std::uint8_t*>(doubles(doubles_for_bytes(count))); }

  FULLER_HD double* rest() const { return next_; }

 private:
  double* next_;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
