// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "bevfusion/geometry/box.hpp"
#include "bevfusion/labels/detection_label.hpp"
#include "bevfusion/map/map_masks.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/pictures/drawn_box.hpp"
#include "bevfusion/pictures/drawn_path.hpp"
#include "bevfusion/pictures/ground_weights.hpp"
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

  /// Map classes as areas of their map_colour(), later classes above earlier ones.
  void draw(const MapMasks& masks, const MapGrid& grid = {});
  /// Windows of the ground whose weight is above the mean, the larger the fuller.
  void draw(const GroundWeights& weights);
  /// Points, the higher the darker.
  void draw(const std::vector<SweepPoint>& points);
  /// Outlines of the sections through the boxes' middles with a line from the middle to the front, and velocity as a thin line of
  /// two seconds' way where it is known. In the colours of their labels.
  void draw(const std::vector<Box3D>& boxes, const DetectionLabels& labels, double width = 2);
  /// The same in one colour, to tell predictions from truth.
  void draw(const std::vector<Box3D>& boxes, Colour colour, double width);
  /// The same, each as it says, with its text to the right of it.
  void draw(const std::vector<DrawnBox>& boxes);
  void draw(const std::vector<DrawnPath>& paths);
  /// The car, an arrowhead at the LiDAR that points ahead, and a bar of a round length with its number.
  void draw_ego_and_scale();

  const Image& image() const { return image_; }

 private:
  Eigen::Vector2d place(double x, double y) const;
  void outline(const Box3D& box, Colour colour, double width);

  BevPictureOptions options_;
  Image image_;
};

/// Metres of the scale bar: the largest 1, 2 or 5 times a power of ten that is no longer than a quarter of the picture.
double scale_bar_length(double reach);

}  // namespace bevfusion
