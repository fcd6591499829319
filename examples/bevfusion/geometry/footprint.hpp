// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <array>
#include <cmath>

namespace bevfusion {

/// A rectangle on the ground.
struct Footprint {
  Eigen::Vector2d center;
  double half_length;  ///< along its yaw
  double half_width;
  double yaw;
};

/// Whether two rectangles overlap: no axis of either separates them.
inline bool overlap(const Footprint& a, const Footprint& b) {
  const Eigen::Vector2d between = b.center - a.center;
  const double reach = a.half_length + a.half_width + b.half_length + b.half_width;
  if (between.squaredNorm() > reach * reach) return false;
  const Eigen::Vector2d ax(std::cos(a.yaw), std::sin(a.yaw));
  const Eigen::Vector2d bx(std::cos(b.yaw), std::sin(b.yaw));
  const Eigen::Vector2d ay(-ax.y(), ax.x());
  const Eigen::Vector2d by(-bx.y(), bx.x());
  for (const Eigen::Vector2d& axis : {ax, ay, bx, by}) {
    const double extent = a.half_length * std::abs(axis.dot(ax)) + a.half_width * std::abs(axis.dot(ay)) +
                          b.half_length * std::abs(axis.dot(bx)) + b.half_width * std::abs(axis.dot(by));
    if (std::abs(axis.dot(between)) > extent) return false;
  }
  return true;
}

/// Its corners and its middle.
inline std::array<Eigen::Vector2d, 5> places_of(const Footprint& f) {
  const Eigen::Vector2d along = f.half_length * Eigen::Vector2d(std::cos(f.yaw), std::sin(f.yaw));
  const Eigen::Vector2d aside = f.half_width * Eigen::Vector2d(-std::sin(f.yaw), std::cos(f.yaw));
  return {f.center + along + aside, f.center + along - aside, f.center - along + aside, f.center - along - aside, f.center};
}

/// The body of nuScenes' car, a Renault Zoe of 4.084 x 1.730 m, whose frame has its origin on the ground below the middle of the
/// rear axle: 1.4 m from the body's middle to the rear.
inline Footprint car_footprint(const Eigen::Vector2d& rear_axle, double yaw) {
  return {rear_axle + 1.4 * Eigen::Vector2d(std::cos(yaw), std::sin(yaw)), 0.5 * 4.084, 0.5 * 1.730, yaw};
}

}  // namespace bevfusion
