// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <cmath>
#include <vector>

#include "bevfusion/synth/random.hpp"
#include "bevfusion/synth/solid.hpp"
#include "bevfusion/synth/town.hpp"

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

/// Buildings, poles and bushes beyond the walkways of all roads, none on a map class other than the walkway (poles).
std::vector<Solid> make_clutter(const Town& town, Random& random);

}  // namespace bevfusion
