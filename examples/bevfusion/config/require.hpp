// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <sstream>
#include <stdexcept>

namespace bevfusion {

/// Refuses a config, with the parts as its words.
/// @throws std::invalid_argument unless `holds`
template <class... Parts>
void require(bool holds, const Parts&... parts) {
  if (!holds) {
    std::ostringstream text;
    (text << ... << parts);
    throw std::invalid_argument(text.str());
  }
}

/// Whether two lengths are one, but for rounding.
inline bool alike(double a, double b) { return std::abs(a - b) < 1e-9 * std::max(1.0, std::abs(a)); }

}  // namespace bevfusion
