// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <vector>

#include "bevfusion/synth/motion.hpp"

namespace bevfusion {

/// A way through a town: places a step apart, which a car's rear axle is to follow.
class Route {
 public:
  /// Goes on to a place, by as many places `step` apart as fit.
  void to(const Eigen::Vector2d& place);

  double length() const { return places_.empty() ? 0 : step * static_cast<double>(places_.size() - 1); }
  /// Where the way is after s metres, and where it heads; beyond an end, straight on.
  GroundPose at(double s) const;
  /// 1/m, above 0 to the left: the turn over a metre to either side.
  double curvature(double s) const;
  /// The length after which the way is nearest to a place, looked for from `from` to `to`.
  double nearest(const Eigen::Vector2d& place, double from, double to) const;

  static constexpr double step = 0.2;  ///< m

 private:
  std::vector<Eigen::Vector2d> places_;
};

}  // namespace bevfusion
