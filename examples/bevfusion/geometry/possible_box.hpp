// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include "bevfusion/geometry/box.hpp"

namespace bevfusion {

/// Whether a box has numbers that a box can have: finite, with sizes that do not vanish. A network that diverged may utter
/// others.
inline bool is_possible(const Box3D& box) {
  const double volume = box.size.prod();
  return box.center.allFinite() && std::isfinite(box.yaw) && box.velocity.allFinite() && std::isfinite(volume) && volume > 0;
}

}  // namespace bevfusion
