// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <initializer_list>

#include "bevfusion/geometry/rigid_transform.hpp"

namespace bevfusion {

/// Mixes 64 bits (the output step of splitmix64, Steele et al. 2014).
inline std::uint64_t mix_bits(std::uint64_t x) {
  x = (x ^ x >> 30U) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ x >> 27U) * 0x94d049bb133111ebULL;
  return x ^ x >> 31U;
}

/// One number from several, in order.
inline std::uint64_t mix_bits(std::initializer_list<std::uint64_t> parts) {
  std::uint64_t state = 0x6a09e667f3bcc908ULL;
  for (const std::uint64_t part : parts) state = mix_bits(state + 0x9e3779b97f4a7c15ULL + mix_bits(part));
  return state;
}

/// A stream of random numbers. Its own, since those of <random>'s distributions differ from library to library. A stream for each
/// thing (scene, sample, sensor) makes the data the same for any number of threads.
class Random {
 public:
  explicit Random(std::initializer_list<std::uint64_t> key) : state_(mix_bits(key)) {}

  std::uint64_t bits() { return mix_bits(state_ += 0x9e3779b97f4a7c15ULL); }
  /// In [0, 1).
  double unit() { return static_cast<double>(bits() >> 11U) * 0x1p-53; }
  double uniform(double low, double high) { return low + (high - low) * unit(); }
  bool chance(double probability) { return unit() < probability; }
  /// low ... high, both included.
  int integer(int low, int high) { return low + static_cast<int>(unit() * (high - low + 1)); }
  double normal(double mean, double deviation) {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - unit()));
    return mean + deviation * radius * std::cos(2.0 * pi * unit());
  }

 private:
  std::uint64_t state_;
};

}  // namespace bevfusion
