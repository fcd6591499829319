// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <array>
#include <cmath>
#include <limits>

#include "bevfusion/labels/pixel_class.hpp"

namespace bevfusion {

/// An opaque upright box that rays meet.
struct Solid {
  Eigen::Vector3d center = Eigen::Vector3d::Zero();  ///< global, m
  Eigen::Vector3d half = Eigen::Vector3d::Ones();    ///< along its own x (front), y (left), z
  double yaw = 0;
  std::array<float, 3> colour{};
  float reflectivity = 20;  ///< median LiDAR intensity
  int object = -1;          ///< index of the object it is part of; -1 for what is not annotated
  PixelClass shows = PixelClass::structure;

  double radius() const { return half.head<2>().norm(); }
};

/// Where a ray enters a solid.
struct Hit {
  double distance = std::numeric_limits<double>::infinity();  ///< in lengths of the direction
  int axis = 0;                                               ///< of the face: 0 front or back, 1 side, 2 top or bottom
  explicit operator bool() const { return std::isfinite(distance); }
};

/// Ray against the box |x_i| <= half_i, both in the box's frame (slab method); no hit from inside.
inline Hit enter_box(const Eigen::Vector3d& origin, const Eigen::Vector3d& direction, const Eigen::Vector3d& half) {
  double enter = 0;
  double leave = std::numeric_limits<double>::infinity();
  Hit hit;
  for (int axis = 0; axis < 3; ++axis) {
    if (direction[axis] == 0) {
      if (std::abs(origin[axis]) > half[axis]) return {};
      continue;
    }
    const double inverse = 1.0 / direction[axis];
    const double a = (-half[axis] - origin[axis]) * inverse;
    const double b = (half[axis] - origin[axis]) * inverse;
    const double near = a < b ? a : b;
    const double far = a < b ? b : a;
    if (near > enter) {
      enter = near;
      hit.axis = axis;
    }
    if (far < leave) leave = far;
    if (enter > leave) return {};
  }
  if (enter > 0) hit.distance = enter;
  return hit;
}

}  // namespace bevfusion
