// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>

#include "bevfusion/driving/controls.hpp"
#include "bevfusion/geometry/rigid_transform.hpp"
#include "bevfusion/synth/motion.hpp"

namespace bevfusion {

/// A car on the road.
struct VehicleState {
  GroundPose pose;   ///< of the middle of its rear axle
  double speed = 0;  ///< m/s, never below 0
};

/// Wheelbase of nuScenes' car, a Renault Zoe, m.
inline constexpr double wheelbase = 2.588;
/// How far the steering wheel turns for a turn of the front wheels.
inline constexpr double steering_ratio = 16;
/// Acceleration of full throttle and full brake, m/s^2, and what the car loses by itself, 1/s.
inline constexpr double full_throttle = 3;
inline constexpr double full_brake = 6;
inline constexpr double drag = 0.05;

/// The controls that give a curvature (1/m, above 0 to the left) and an acceleration at a speed, as far as they reach; a car that
/// is to stand is held by its brake.
inline Controls controls_for(double curvature, double acceleration, double speed) {
  Controls out;
  const double angle = std::atan(wheelbase * curvature) * 180 / pi * steering_ratio;
  out.steer = std::clamp(angle / wheel_lock, -1.0, 1.0);
  const double push = acceleration + drag * speed;
  if (speed < 0.05 && acceleration <= 0) {
    out.brake = 0.3;
  } else if (push >= 0) {
    out.throttle = std::min(1.0, push / full_throttle);
  } else {
    out.brake = std::min(1.0, -push / full_brake);
  }
  return out;
}

/// Curvature of the way under a steering, 1/m.
inline double curvature_of(double steer) {
  return std::tan(std::clamp(steer, -1.0, 1.0) * wheel_lock / steering_ratio * pi / 180) / wheelbase;
}

/// The kinematic single-track model, in steps of at most 0.01 s: the rear axle goes where it points, and turns by speed times
/// curvature. No brake makes it go backward.
inline void advance(VehicleState& state, const Controls& controls, double seconds) {
  const int steps = std::max(1, static_cast<int>(std::ceil(seconds / 0.01 - 1e-9)));
  const double dt = seconds / steps;
  const double push = full_throttle * std::clamp(controls.throttle, 0.0, 1.0) - full_brake * std::clamp(controls.brake, 0.0, 1.0);
  const double curvature = curvature_of(controls.steer);
  for (int i = 0; i < steps; ++i) {
    const double before = state.speed;
    state.speed = std::max(0.0, before + dt * (push - drag * before));
    const double way = 0.5 * dt * (before + state.speed);
    const double middle = state.pose.yaw + 0.5 * way * curvature;
    state.pose.position += way * Eigen::Vector2d(std::cos(middle), std::sin(middle));
    state.pose.yaw = wrap_angle(state.pose.yaw + way * curvature);
  }
}

}  // namespace bevfusion
