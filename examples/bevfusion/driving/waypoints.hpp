// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <array>
#include <optional>

#include "bevfusion/geometry/footprint.hpp"
#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/map/map_masks.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/nuscenes/tables.hpp"

namespace bevfusion {

/// When the car is at its way-points, s after the sample: those of DMFuser's repository.
inline constexpr std::array<double, 3> waypoint_times = {0.5, 1.0, 1.5};
inline constexpr std::size_t waypoint_count = waypoint_times.size();

/// Where the car's origin is at these times, from where it is at the sample, along the axes of LIDAR_TOP at the sample; m.
using Waypoints = std::array<Eigen::Vector2d, waypoint_count>;

/// Where the car did drive. Nothing where its scene ends before the last of the times, or has too few poses (ego_pose_after()).
std::optional<Waypoints> driven_waypoints(const Tables& tables, RowIndex sample);

/// The car's body at each way-point, in the frame of LIDAR_TOP at the sample: it heads where it came from the way-point before,
/// or as there where these are less than 0.2 m apart.
std::array<Footprint, waypoint_count> bodies_at(const Waypoints& waypoints, const KeyFrame& frame);

/// Whether each of the bodies overlaps an annotated box of that time: of the sample whose LiDAR is nearest to the way-point's
/// time. Nothing where none is within 0.3 s.
std::array<std::optional<bool>, waypoint_count> collisions(const std::array<Footprint, waypoint_count>& bodies,
                                                           const Tables& tables, RowIndex sample, const DetectionLabels& labels);

/// Whether a corner or the middle of each of the bodies is off the drivable area. Nothing where one of them is beyond the grid.
/// @param drivable  of a cell of the grid
template <class Drivable>
std::array<std::optional<bool>, waypoint_count> off_road(const std::array<Footprint, waypoint_count>& bodies, const MapGrid& grid,
                                                         Drivable&& drivable) {
  std::array<std::optional<bool>, waypoint_count> off;
  for (std::size_t k = 0; k < waypoint_count; ++k) {
    bool inside = true;
    bool on = true;
    for (const Eigen::Vector2d& place : places_of(bodies[k])) {
      const int i = static_cast<int>(std::floor((place.x() + grid.reach) / grid.cell()));
      const int j = static_cast<int>(std::floor((place.y() + grid.reach) / grid.cell()));
      inside = inside && i >= 0 && j >= 0 && i < grid.cells && j < grid.cells;
      on = on && inside && drivable(i, j);
    }
    if (inside) off[k] = !on;
  }
  return off;
}

}  // namespace bevfusion
