// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/driving/waypoints.hpp"

#include <algorithm>
#include <cmath>

#include "bevfusion/nuscenes/ego_motion.hpp"

namespace bevfusion {

namespace {

/// The sample of the same scene that is nearest to a time after `sample`; -1 where none is within 0.3 s.
RowIndex sample_near(const Tables& tables, RowIndex sample, double seconds) {
  const auto time_of = [&tables](RowIndex row) { return tables.samples[static_cast<std::size_t>(row)].timestamp; };
  const std::int64_t wanted = time_of(sample) + std::llround(1e6 * seconds);
  RowIndex best = -1;
  std::int64_t least = 300'001;
  for (RowIndex row = sample; row >= 0 && time_of(row) < wanted + least;
       row = tables.samples[static_cast<std::size_t>(row)].next) {
    if (std::abs(time_of(row) - wanted) < least) {
      least = std::abs(time_of(row) - wanted);
      best = row;
    }
  }
  return best;
}

}  // namespace

std::optional<Waypoints> driven_waypoints(const Tables& tables, RowIndex sample) {
  const KeyFrame frame = key_frame_of(tables, sample, {1, {}});
  const RigidTransform lidar_from_global = frame.global_from_lidar().inverse();
  Waypoints out;
  for (std::size_t k = 0; k < waypoint_count; ++k) {
    const std::optional<RigidTransform> pose = ego_pose_after(tables, sample, waypoint_times[k]);
    if (!pose) return std::nullopt;
    out[k] = (lidar_from_global.rotation * (pose->translation - frame.global_from_ego.translation)).head<2>();
  }
  return out;
}

std::array<Footprint, waypoint_count> bodies_at(const Waypoints& waypoints, const KeyFrame& frame) {
  const RigidTransform lidar_from_ego = frame.ego_from_lidar.inverse();
  const Eigen::Vector2d origin = lidar_from_ego.translation.head<2>();
  double yaw = yaw_of(lidar_from_ego.rotation);
  Eigen::Vector2d before(0, 0);
  std::array<Footprint, waypoint_count> bodies;
  for (std::size_t k = 0; k < waypoint_count; ++k) {
    const Eigen::Vector2d way = waypoints[k] - before;
    if (way.norm() >= 0.2) yaw = std::atan2(way.y(), way.x());
    bodies[k] = car_footprint(origin + waypoints[k], yaw);
    before = waypoints[k];
  }
  return bodies;
}

std::array<std::optional<bool>, waypoint_count> collisions(const std::array<Footprint, waypoint_count>& bodies,
                                                           const Tables& tables, RowIndex sample, const DetectionLabels& labels) {
  const RigidTransform here_from_global = key_frame_of(tables, sample, {1, {}}).global_from_lidar().inverse();
  std::array<std::optional<bool>, waypoint_count> hit;
  for (std::size_t k = 0; k < waypoint_count; ++k) {
    const RowIndex then = sample_near(tables, sample, waypoint_times[k]);
    if (then < 0) continue;
    const KeyFrame frame = key_frame_of(tables, then, {1, labels});
    const RigidTransform here_from_there = here_from_global * frame.global_from_lidar();
    hit[k] = std::any_of(frame.boxes.begin(), frame.boxes.end(), [&](const Box3D& box) {
      const Eigen::Vector3d center = here_from_there * box.center;
      const double yaw = yaw_of(here_from_there.rotation * rotation_about_z(box.yaw));
      return overlap(bodies[k], Footprint{center.head<2>(), 0.5 * box.length(), 0.5 * box.width(), yaw});
    });
  }
  return hit;
}

}  // namespace bevfusion
