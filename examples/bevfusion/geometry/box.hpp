// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <array>
#include <cstdint>
#include <limits>

#include "bevfusion/geometry/rigid_transform.hpp"
#include "bevfusion/nuscenes/detection_class.hpp"
#include "bevfusion/nuscenes/token.hpp"

namespace bevfusion {

/// A box in the frame of its owner (a KeyFrame's boxes: LIDAR_TOP), with what nuScenes says about it. Networks, targets and
/// metrics take it as upright there, turned by its yaw.
struct Box3D {
  Eigen::Vector3d center = Eigen::Vector3d::Zero();  ///< centre of gravity, m
  Eigen::Vector3d size = Eigen::Vector3d::Ones();    ///< width (y of the box), length (x of the box), height, m
  double yaw = 0;                                    ///< of the box's x axis (its front), rad
  /// How it leans in this frame, after the turn by yaw: an annotation stands upright in the world, a LiDAR does not.
  Eigen::Matrix3d lean = Eigen::Matrix3d::Identity();
  /// m/s in x and y; NaN where unknown, which must enter neither loss nor metric.
  Eigen::Vector2d velocity = Eigen::Vector2d::Constant(std::numeric_limits<double>::quiet_NaN());
  DetectionClass label = DetectionClass::car;
  Attribute attribute = Attribute::none;  ///< none: unlabelled
  Token annotation;                       ///< of the sample_annotation row
  Token instance;                         ///< the same object in other samples
  int lidar_points = 0;                   ///< as annotated
  int radar_points = 0;                   ///< as annotated
  int visibility = 0;                     ///< 1 (< 40 %) ... 4 (> 80 %); 0 unlabelled

  double width() const { return size.x(); }
  double length() const { return size.y(); }
  double height() const { return size.z(); }
  bool velocity_known() const { return velocity.allFinite(); }

  /// Frame of the box (x front, y left, z up, origin in its centre) into the owner's.
  RigidTransform pose() const { return {lean * rotation_about_z(yaw), center}; }
};

/// The eight corners. Bit 0, 1, 2 of a corner's index: back, right, bottom; so 0 is front-left-top and 7 back-right-bottom.
inline std::array<Eigen::Vector3d, 8> corners_of(const Box3D& box) {
  std::array<Eigen::Vector3d, 8> corners;
  const RigidTransform pose = box.pose();
  for (unsigned i = 0; i < 8; ++i) {
    corners[i] = pose * Eigen::Vector3d((i & 1U ? -0.5 : 0.5) * box.length(), (i & 2U ? -0.5 : 0.5) * box.width(),
                                        (i & 4U ? -0.5 : 0.5) * box.height());
  }
  return corners;
}

/// The twelve edges, as pairs of corner indices.
inline constexpr std::array<std::array<int, 2>, 12> box_edges = {
    {{0, 1}, {0, 2}, {0, 4}, {1, 3}, {1, 5}, {2, 3}, {2, 6}, {3, 7}, {4, 5}, {4, 6}, {5, 7}, {6, 7}}};

/// Tests points against one box; surfaces belong to it.
class BoxInterior {
 public:
  explicit BoxInterior(const Box3D& box)
      : center_(box.center),
        half_(0.5 * box.length(), 0.5 * box.width(), 0.5 * box.height()),
        cos_(std::cos(box.yaw)),
        sin_(std::sin(box.yaw)) {}

  bool contains(double x, double y, double z) const {
    const double dx = x - center_.x();
    const double dy = y - center_.y();
    return std::abs(cos_ * dx + sin_ * dy) <= half_.x() && std::abs(cos_ * dy - sin_ * dx) <= half_.y() &&
           std::abs(z - center_.z()) <= half_.z();
  }

 private:
  Eigen::Vector3d center_;
  Eigen::Vector3d half_;
  double cos_;
  double sin_;
};

/// How many of `points` (any range of things with x, y, z) lie in the box.
template <typename Points>
int count_points_in(const Box3D& box, const Points& points) {
  const BoxInterior interior(box);
  int count = 0;
  for (const auto& p : points) count += interior.contains(p.x, p.y, p.z) ? 1 : 0;
  return count;
}

}  // namespace bevfusion
