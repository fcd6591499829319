// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <Eigen/Geometry>
#include <array>
#include <cmath>
#include <stdexcept>

namespace bevfusion {

inline constexpr double pi = 3.14159265358979323846;

/// Rotation matrix of a quaternion written w, x, y, z, as nuScenes does; throws std::invalid_argument unless its norm is 1 to
/// within 1e-3 (the data set's own are within 1e-6).
inline Eigen::Matrix3d rotation_of(const std::array<double, 4>& wxyz) {
  const Eigen::Quaterniond q(wxyz[0], wxyz[1], wxyz[2], wxyz[3]);
  const double norm = q.norm();
  if (!(std::abs(norm - 1.0) < 1e-3)) throw std::invalid_argument("a rotation's quaternion is not of length 1");
  return q.normalized().toRotationMatrix();
}

/// Quaternion w, x, y, z of a rotation matrix, with w >= 0.
inline std::array<double, 4> quaternion_of(const Eigen::Matrix3d& rotation) {
  Eigen::Quaterniond q(rotation);
  if (q.w() < 0) q.coeffs() = -q.coeffs();
  return {q.w(), q.x(), q.y(), q.z()};
}

/// Rotation about z by `yaw` radians, counter-clockwise seen from above.
inline Eigen::Matrix3d rotation_about_z(double yaw) {
  return Eigen::AngleAxisd(yaw, Eigen::Vector3d::UnitZ()).toRotationMatrix();
}

/// Where a frame's x axis points, as an angle in the xy plane of the frame the rotation leads to, in (-pi, pi].
inline double yaw_of(const Eigen::Matrix3d& rotation) { return std::atan2(rotation(1, 0), rotation(0, 0)); }

/// The same angle in [-pi, pi).
inline double wrap_angle(double angle) { return angle - 2.0 * pi * std::floor((angle + pi) / (2.0 * pi)); }

/// A change of frame p_to = R p_from + t. A variable is named to_from_from, such as global_from_ego, so that names cancel in
/// products.
struct RigidTransform {
  Eigen::Matrix3d rotation = Eigen::Matrix3d::Identity();
  Eigen::Vector3d translation = Eigen::Vector3d::Zero();

  Eigen::Vector3d operator*(const Eigen::Vector3d& point) const { return rotation * point + translation; }

  RigidTransform operator*(const RigidTransform& inner) const {
    return {rotation * inner.rotation, rotation * inner.translation + translation};
  }

  RigidTransform inverse() const { return {rotation.transpose(), -(rotation.transpose() * translation)}; }

  /// 4 x 4, homogeneous.
  Eigen::Matrix4d matrix() const {
    Eigen::Matrix4d m = Eigen::Matrix4d::Identity();
    m.topLeftCorner<3, 3>() = rotation;
    m.topRightCorner<3, 1>() = translation;
    return m;
  }
};

}  // namespace bevfusion
