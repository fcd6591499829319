// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "bevfusion/geometry/rigid_transform.hpp"
#include "bevfusion/synth/road.hpp"

namespace bevfusion {

/// A place and direction on the ground.
struct GroundPose {
  Eigen::Vector2d position = Eigen::Vector2d::Zero();
  double yaw = 0;
};

/// A way that is given by where something is every `step` seconds; before and after that it stands.
struct TimedWay {
  double begin = 0;  ///< s, of the first pose
  double step = 1;   ///< s
  std::vector<GroundPose> poses;

  GroundPose at(double time) const {
    const double place = (time - begin) / step;
    const double piece = std::clamp(std::floor(place), 0.0, static_cast<double>(poses.size() - 2));
    const GroundPose& from = poses[static_cast<std::size_t>(piece)];
    const GroundPose& to = poses[static_cast<std::size_t>(piece) + 1];
    const double share = std::clamp(place - piece, 0.0, 1.0);
    return {from.position + share * (to.position - from.position), wrap_angle(from.yaw + share * wrap_angle(to.yaw - from.yaw))};
  }
};

/// How something moves: along a road, keeping or weaving about its distance from the centre line, or straight on. Still at speed
/// 0.
struct Motion {
  Road road;     ///< a straight motion is one along a straight road of its own
  double s = 0;  ///< at time 0, m
  double d = 0;
  double speed = 0;      ///< along s, m/s; below 0: against the road
  double sway = 0;       ///< m to either side of d
  double sway_rate = 0;  ///< rad/m
  double sway_phase = 0;
  double turned = 0;                      ///< yaw against the direction of motion, rad
  std::shared_ptr<const TimedWay> timed;  ///< where it is there, all else is nothing

  static Motion straight(const Eigen::Vector2d& from, double yaw, double speed) {
    Motion motion;
    motion.road.start = from;
    motion.road.heading = yaw;
    motion.speed = speed;
    return motion;
  }

  GroundPose at(double time) const {
    if (timed) return timed->at(time);
    const double place = s + speed * time;
    const double phase = sway_rate * place + sway_phase;
    const double aside = d + sway * std::sin(phase);
    // tan of the angle between path and road: dd / ((1 - k d) ds).
    const double slope = sway * sway_rate * std::cos(phase) / (1.0 - road.curvature * aside);
    const double forward = speed < 0 ? pi : 0.0;
    return {road.at(place, aside), wrap_angle(road.heading_at(place) + std::atan(slope) + forward + turned)};
  }
};

}  // namespace bevfusion
