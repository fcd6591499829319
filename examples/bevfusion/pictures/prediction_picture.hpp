// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "bevfusion/geometry/box.hpp"
#include "bevfusion/map/map_masks.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/pictures/image.hpp"

namespace bevfusion {

/// What annotations and predictions are drawn in: told apart at a glance, and from every map class.
inline constexpr Colour truth_colour = {0, 110, 40};
inline constexpr Colour truth_colour_in_pictures = {70, 255, 100};  // scenery is darker than a map
inline constexpr Colour prediction_colour = {230, 0, 150};

/// What is known or said of a scene, seen from above.
struct SceneView {
  MapMasks masks;  ///< none where cells is 0
  std::vector<Box3D> boxes;
};

/// Two views from above beside each other, x to the right, y (the car's front) up: to the left what is true, to the right what is
/// predicted, with the true boxes as thin lines below the predicted ones. Points in both.
/// @param reach  metres to each side
/// @param size   pixels of each view's side
Image compare_from_above(const SceneView& truth, const SceneView& prediction, const std::vector<SweepPoint>& points,
                         const MapGrid& grid, double reach, int size);

/// The six pictures of a key frame with true and predicted boxes, each brought to a width first so that lines stay fine.
/// @throws DataError for a picture that cannot be read
Image compare_in_pictures(const KeyFrame& frame, const std::vector<Box3D>& truth, const std::vector<Box3D>& prediction,
                          int width);

}  // namespace bevfusion
