// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace bevfusion {

/// What a driver does.
struct Controls {
  double steer = 0;     ///< -1 ... 1, the wheel's share of its lock; above 0 to the left
  double throttle = 0;  ///< 0 ... 1
  double brake = 0;     ///< 0 ... 1
};

// Full scale of the fields of nuScenes' vehicle_monitor.
inline constexpr double wheel_lock = 780;       ///< of `steering`, degrees of the wheel
inline constexpr double throttle_scale = 1000;  ///< of `throttle`
inline constexpr double brake_scale = 126;      ///< of `brake`, bar

}  // namespace bevfusion
