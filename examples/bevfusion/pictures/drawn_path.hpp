// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <vector>

#include "bevfusion/pictures/image.hpp"

namespace bevfusion {

/// A way on the ground (frame of the LiDAR) as a picture shows it: a line with a mark at each place but the first.
struct DrawnPath {
  std::vector<Eigen::Vector3d> places;
  Colour colour{};
  double width = 2;  ///< of its line, pixels
};

}  // namespace bevfusion
