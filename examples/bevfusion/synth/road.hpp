// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <cmath>

namespace bevfusion {

/// A place on a road: s metres along its centre line, d metres to the left of it.
struct RoadPlace {
  double s = 0;
  double d = 0;
};

/// A road whose centre line is straight or an arc. Traffic keeps right: lanes of the road's own direction have d < 0.
struct Road {
  Eigen::Vector2d start = Eigen::Vector2d::Zero();  ///< global, m
  double heading = 0;                               ///< at the start, rad
  double curvature = 0;                             ///< 1/m; above 0 it turns left
  double length = 0;                                ///< m
  double lane_width = 3.5;                          ///< m
  int lanes_right = 1;                              ///< along the road
  int lanes_left = 1;                               ///< against it
  double walkway = 2.5;                             ///< m, on either side

  double right_edge() const { return -lanes_right * lane_width; }
  double left_edge() const { return lanes_left * lane_width; }
  double heading_at(double s) const { return heading + curvature * s; }

  Eigen::Vector2d at(double s, double d) const {
    const double turned = curvature * s;
    // (sin ks / k, (1 - cos ks) / k), the arc in the frame of its start.
    const Eigen::Vector2d arc = curvature == 0
                                    ? Eigen::Vector2d(s, 0)
                                    : Eigen::Vector2d(std::sin(turned) / curvature, (1.0 - std::cos(turned)) / curvature);
    const Eigen::Vector2d local = arc + d * Eigen::Vector2d(-std::sin(turned), std::cos(turned));
    const double c = std::cos(heading);
    const double n = std::sin(heading);
    return start + Eigen::Vector2d(c * local.x() - n * local.y(), n * local.x() + c * local.y());
  }

  /// The inverse of at(); for an arc, s lies within half a turn of the start.
  RoadPlace locate(const Eigen::Vector2d& global) const {
    const Eigen::Vector2d from = global - start;
    const double c = std::cos(heading);
    const double n = std::sin(heading);
    const double x = c * from.x() + n * from.y();
    const double y = c * from.y() - n * from.x();
    if (curvature == 0) return {x, y};
    const double radius = 1.0 / curvature;
    const double side = radius > 0 ? 1.0 : -1.0;
    return {radius * std::atan2(side * x, side * (radius - y)), radius - side * std::hypot(x, radius - y)};
  }
};

}  // namespace bevfusion
