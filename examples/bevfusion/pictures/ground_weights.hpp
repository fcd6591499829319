// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include <Eigen/Core>

#include "bevfusion/geometry/camera_view.hpp"
#include "bevfusion/geometry/rigid_transform.hpp"
#include "bevfusion/pictures/drawn_path.hpp"
#include "bevfusion/pictures/image.hpp"

namespace bevfusion {

/// A weight for each window of a map of the ground (frame of the LiDAR): side x side equal squares over `reach` m to each side.
struct GroundWeights {
  double reach = 50;
  std::size_t side = 1;
  std::vector<double> weights;  ///< of window x * side + y

  /// The window of a place; nothing outside of the map.
  std::optional<std::size_t> window(double x, double y) const;
  /// 0 ... 1 for each window: how far its weight is above the mean of all, over how far the largest is; 0 below it. All 0 where
  /// no weight is above the mean by more than the rounding of single precision.
  std::vector<double> strengths() const;
  /// The window's border as a way on the ground that ends where it begins.
  /// @param z  of the ground
  DrawnPath border(std::size_t window, double z, Colour colour) const;
};

/// Tints each pixel of a camera's picture that shows ground by the weight of the window that it lies in; what is above the
/// horizon or farther away than the map stays as it is. Things that stand on the ground are tinted as the ground that they hide.
/// @param view            its pixels are those of the picture
/// @param ego_from_lidar  the ground is where z of the ego frame is 0
void draw_weights(Image& image, const CameraView& view, const GroundWeights& weights, const RigidTransform& ego_from_lidar);

}  // namespace bevfusion
