// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "bevfusion/geometry/box.hpp"
#include "bevfusion/pictures/image.hpp"

namespace bevfusion {

/// A box (frame of the LiDAR) as a picture shows it.
struct DrawnBox {
  Box3D box;
  Colour colour{};
  double width = 2;  ///< of its lines, pixels
  std::string text;  ///< beside it; none where empty
};

}  // namespace bevfusion
