// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "bevfusion/geometry/rigid_transform.hpp"
#include "bevfusion/nuscenes/tables.hpp"

namespace bevfusion {

/// Where the car is (global_from_ego) `seconds` after a sample's LiDAR key frame, from the ego poses of the scene's LiDAR files:
/// between two of them places by proportion and turns along the shorter way. Nothing after the scene's last, before its first, or
/// between two that are more than `longest` seconds apart.
std::optional<RigidTransform> ego_pose_after(const Tables& tables, RowIndex sample, double seconds, double longest = 0.75);

/// How fast the car goes at a sample, m/s, below 0 backward: its way along its heading since the earliest LiDAR file of the last
/// 0.3 s, or, where there is none, since the one before it, at most 0.75 s ago. No later pose is looked at. Nothing at the
/// beginning of a scene.
std::optional<double> speed_at(const Tables& tables, RowIndex sample);

}  // namespace bevfusion
