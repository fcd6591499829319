// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <array>
#include <optional>

#include "bevfusion/nuscenes/tables.hpp"

namespace bevfusion {

/// What the car knows of itself when a sample is taken, beside what its sensors see. Directions along the axes of LIDAR_TOP at
/// that time: x right, y forward.
struct CarState {
  Eigen::Vector2d front = Eigen::Vector2d::UnitY();  ///< where it heads, of length 1
  std::optional<double> speed;                       ///< m/s, below 0 backward
  std::optional<Eigen::Vector2d> route;              ///< the way from the car's origin to a place further along its route, m

  /// The numbers that a head is told: front (2), speed / 10 and whether it is known, route / 10 (2) and whether it is known.
  static constexpr std::size_t count = 7;
  /// @param linear  what augmentation does to directions, scaling included
  std::array<float, count> numbers(const Eigen::Matrix2d& linear = Eigen::Matrix2d::Identity()) const;
};

/// How far along the route its place is, m.
inline constexpr double route_ahead = 15;

/// The car's state at a sample: its speed from the ego poses until then, its route from the CAN bus expansion.
CarState car_state_at(const Tables& tables, RowIndex sample);

}  // namespace bevfusion
