// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/nuscenes/ego_motion.hpp"

#include <Eigen/Geometry>
#include <cmath>

#include "bevfusion/nuscenes/data_error.hpp"

namespace bevfusion {

namespace {

const SampleDataRow& data_of(const Tables& tables, RowIndex row) { return tables.sample_data[static_cast<std::size_t>(row)]; }

const RigidTransform& pose_of(const Tables& tables, RowIndex row) {
  return tables.ego_poses[static_cast<std::size_t>(data_of(tables, row).ego_pose)];
}

RowIndex lidar_of(const Tables& tables, RowIndex sample) {
  const SampleRow& row = tables.samples[static_cast<std::size_t>(sample)];
  const RowIndex lidar = row.key(Channel::lidar_top);
  if (lidar < 0) {
    fail((tables.folder / "sample_data.json").string(), "sample " + to_string(row.token) + " has no LIDAR_TOP key frame");
  }
  return lidar;
}

RigidTransform between(const RigidTransform& a, const RigidTransform& b, double share) {
  const Eigen::Quaterniond from(a.rotation);
  const Eigen::Quaterniond to(b.rotation);
  return {from.slerp(share, to).toRotationMatrix(), (1 - share) * a.translation + share * b.translation};
}

}  // namespace

std::optional<RigidTransform> ego_pose_after(const Tables& tables, RowIndex sample, double seconds, double longest) {
  RowIndex at = lidar_of(tables, sample);
  const std::int64_t wanted = data_of(tables, at).timestamp + std::llround(1e6 * seconds);
  // Times of a chain rise, as the tables' reader sees to, so that it ends.
  while (data_of(tables, at).timestamp > wanted) {
    at = data_of(tables, at).previous;
    if (at < 0) return std::nullopt;
  }
  for (;;) {
    const std::int64_t time = data_of(tables, at).timestamp;
    if (time == wanted) return pose_of(tables, at);
    const RowIndex next = data_of(tables, at).next;
    if (next < 0) return std::nullopt;
    const std::int64_t later = data_of(tables, next).timestamp;
    if (later <= time) {
      fail((tables.folder / "sample_data.json").string(),
           "row " + to_string(data_of(tables, at).token) + ": field 'next' leads to a row that is not later");
    }
    if (later > wanted) {
      if (1e-6 * static_cast<double>(later - time) > longest) return std::nullopt;
      return between(pose_of(tables, at), pose_of(tables, next),
                     static_cast<double>(wanted - time) / static_cast<double>(later - time));
    }
    at = next;
  }
}

std::optional<double> speed_at(const Tables& tables, RowIndex sample) {
  const RowIndex now = lidar_of(tables, sample);
  const auto age = [&](RowIndex row) {
    return 1e-6 * static_cast<double>(data_of(tables, now).timestamp - data_of(tables, row).timestamp);
  };
  RowIndex then = data_of(tables, now).previous;
  if (then < 0 || age(then) > 0.75) return std::nullopt;
  while (data_of(tables, then).previous >= 0 && age(data_of(tables, then).previous) <= 0.3) then = data_of(tables, then).previous;
  const Eigen::Vector3d way = pose_of(tables, now).translation - pose_of(tables, then).translation;
  return way.dot(pose_of(tables, now).rotation.col(0)) / age(then);
}

}  // namespace bevfusion
