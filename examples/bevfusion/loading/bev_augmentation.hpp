// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <Eigen/LU>
#include <cmath>
#include <vector>

#include "bevfusion/geometry/box.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/synth/random.hpp"

namespace bevfusion {

/// How the surroundings are varied, in the LiDAR's frame. Flips are off by default: the paper lists none for points; its "flip
/// along H and W" (supplement, appendix B) can also be read as the flips of the BEV here.
struct BevAugmentationOptions {
  double rotation = pi / 8;  ///< rad, to either side
  double least_scale = 0.95;
  double most_scale = 1.05;
  double translation = 0.2;  ///< m along x and y, to either side
  bool flip_x = false;       ///< x to -x, every other time
  bool flip_y = false;
};

/// One draw: flip, then turn and scale, then shift. As a 4 x 4 matrix it goes to the camera branch; as a 3 x 3 one of the plane
/// to bev_from_global(), so that points, boxes, cameras and masks stay together.
struct BevAugmentation {
  double rotation = 0;
  double scale = 1;
  Eigen::Vector2d translation = Eigen::Vector2d::Zero();
  bool flip_x = false;
  bool flip_y = false;

  Eigen::Matrix3d linear() const {
    return scale * rotation_about_z(rotation) * Eigen::Vector3d(flip_x ? -1 : 1, flip_y ? -1 : 1, 1).asDiagonal();
  }
  Eigen::Matrix4d matrix4() const {
    Eigen::Matrix4d m = Eigen::Matrix4d::Identity();
    m.topLeftCorner<3, 3>() = linear();
    m.topRightCorner<3, 1>() << translation, 0;
    return m;
  }
  Eigen::Matrix3d plane() const {
    Eigen::Matrix3d m = Eigen::Matrix3d::Identity();
    m.topLeftCorner<2, 2>() = linear().topLeftCorner<2, 2>();
    m.topRightCorner<2, 1>() = translation;
    return m;
  }

  void apply(std::vector<SweepPoint>& points) const {
    const Eigen::Matrix3f by = linear().cast<float>();
    const Eigen::Vector2f shift = translation.cast<float>();
    for (SweepPoint& p : points) {
      const Eigen::Vector3f moved = by * Eigen::Vector3f(p.x, p.y, p.z);
      p.x = moved.x() + shift.x();
      p.y = moved.y() + shift.y();
      p.z = moved.z();
    }
  }

  void apply(std::vector<Box3D>& boxes) const {
    const Eigen::Matrix3d by = linear();
    const Eigen::Matrix3d turn = by / scale;
    for (Box3D& box : boxes) {
      box.center = by * box.center + Eigen::Vector3d(translation.x(), translation.y(), 0);
      box.size *= scale;
      const Eigen::Vector3d front = by * Eigen::Vector3d(std::cos(box.yaw), std::sin(box.yaw), 0);
      box.yaw = std::atan2(front.y(), front.x());
      box.lean = turn * box.lean * turn.transpose();
      box.velocity = by.topLeftCorner<2, 2>() * box.velocity;  // unknown stays unknown
    }
  }
};

inline BevAugmentation draw_bev_augmentation(const BevAugmentationOptions& options, Random& random) {
  BevAugmentation a;
  a.rotation = random.uniform(-options.rotation, options.rotation);
  a.scale = random.uniform(options.least_scale, options.most_scale);
  a.translation.x() = random.uniform(-options.translation, options.translation);
  a.translation.y() = random.uniform(-options.translation, options.translation);
  a.flip_x = options.flip_x && random.chance(0.5);
  a.flip_y = options.flip_y && random.chance(0.5);
  return a;
}

}  // namespace bevfusion
