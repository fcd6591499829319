// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "bevfusion/geometry/box.hpp"
#include "bevfusion/labels/detection_label.hpp"
#include "bevfusion/map/map_masks.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/pictures/image.hpp"

namespace bevfusion {

struct BevPictureOptions {
  double reach = 50;  ///< m to each side
  int size = 800;     ///< pixels along a side
};

/// The surroundings from above, in the LiDAR's frame: x to the right, y (the car's front) up. What is absent is left out.
class BevPicture {
 public:
  explicit BevPicture(const BevPictureOptions& options = {});

  /// Map classes as areas of their labels' colours, later classes above earlier ones.
  void draw(const MapMasks& masks, const MapGrid& grid = {});
  /// Points, the higher the darker.
  void draw(const std::vector<SweepPoint>& points);
  /// Outlines with a line from the middle to the front, and velocity as a thin line of two seconds' way where it is known.
  /// In the colours of their labels.
  void draw(const std::vector<Box3D>& boxes, const DetectionLabels& labels, double width = 2);
  /// The same in one colour, to tell predictions from truth.
  void draw(const std::vector<Box3D>& boxes, Colour colour, double width);

  const Image& image() const { return image_; }

 private:
  Eigen::Vector2d place(double x, double y) const;
  void outline(const Box3D& box, Colour colour, double width);

  BevPictureOptions options_;
  Image image_;
};

}  // namespace bevfusion
