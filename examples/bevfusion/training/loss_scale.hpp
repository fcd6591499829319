// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace bevfusion {

/// The factor on the loss that keeps half-precision gradients from vanishing: a power of two, so that it changes no bit of them
/// but their exponent. It is halved after a step whose gradient is not finite, and doubled after `patience` good ones.
struct LossScale {
  static constexpr std::int64_t patience = 2000;
  static constexpr double largest = 16777216;  // 2^24

  double value = 1;
  std::int64_t good = 0;     ///< finite steps since the last change
  std::int64_t skipped = 0;  ///< steps whose gradient was not finite, ever
  bool adapts = false;

  /// Half precision starts at 2^16.
  static LossScale for_precision(bool half) {
    LossScale scale;
    scale.value = half ? 65536 : 1;
    scale.adapts = half;
    return scale;
  }

  void update(bool finite) {
    if (!finite) {
      ++skipped;
      good = 0;
      value = adapts && value > 1 ? value / 2 : value;
    } else if (adapts && ++good == patience) {
      good = 0;
      value = value < largest ? value * 2 : value;
    }
  }
};

}  // namespace bevfusion
