// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <optional>

#include "bevfusion/geometry/box.hpp"
#include "bevfusion/geometry/rigid_transform.hpp"

namespace bevfusion {

/// A pinhole camera seen from another frame. The camera looks along its z, x to the right and y down.
struct CameraView {
  Eigen::Matrix3d intrinsic = Eigen::Matrix3d::Identity();  ///< pixels; pixel (0, 0) covers [0, 1) x [0, 1)
  RigidTransform camera_from_lidar;
  int width = 0;
  int height = 0;

  /// Pixel position (u, v) and depth (m) of a point, or nothing where it lies less than `nearest` metres before the camera.
  std::optional<Eigen::Vector3d> project(const Eigen::Vector3d& in_lidar, double nearest = 0.1) const {
    const Eigen::Vector3d p = camera_from_lidar * in_lidar;
    if (!(p.z() >= nearest)) return std::nullopt;
    const Eigen::Vector3d uvw = intrinsic * p;
    return Eigen::Vector3d(uvw.x() / uvw.z(), uvw.y() / uvw.z(), p.z());
  }

  bool in_image(const Eigen::Vector3d& uvd) const { return uvd.x() >= 0 && uvd.y() >= 0 && uvd.x() < width && uvd.y() < height; }

  /// Whether all eight corners lie in the image.
  bool sees_all_of(const Box3D& box) const {
    for (const Eigen::Vector3d& corner : corners_of(box)) {
      const auto uvd = project(corner);
      if (!uvd || !in_image(*uvd)) return false;
    }
    return true;
  }
};

}  // namespace bevfusion
