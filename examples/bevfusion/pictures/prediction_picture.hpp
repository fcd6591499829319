// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bevfusion/geometry/camera_view.hpp"
#include "bevfusion/map/map_masks.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/pictures/drawn_box.hpp"
#include "bevfusion/pictures/drawn_path.hpp"
#include "bevfusion/pictures/image.hpp"

namespace bevfusion {

/// What is known or said of a scene, seen from above.
struct SceneView {
  MapMasks masks;  ///< none where cells is 0
  std::vector<DrawnBox> boxes;
  std::vector<DrawnPath> paths = {};
};

/// Pictures of one height from left to right.
Image side_by_side(const std::vector<Image>& pictures);

/// Views from above beside each other, x to the right, y (the car's front) up. Points, the car and a scale in each.
/// @param reach  metres to each side
/// @param size   pixels of each view's side
Image views_from_above(const std::vector<SceneView>& views, const std::vector<SweepPoint>& points, const MapGrid& grid,
                       double reach, int size);
/// Two of them: to the left what is true, to the right what is predicted.
Image compare_from_above(const SceneView& truth, const SceneView& prediction, const std::vector<SweepPoint>& points,
                         const MapGrid& grid, double reach, int size);

/// The six pictures of a key frame with the cameras' names, each brought to a width before it is drawn on.
/// @param draw   onto a picture, whose pixels are the view's
/// @param names  of the cameras (data.cameras), as six_pictures() takes them
/// @throws DataError for a picture that cannot be read
Image six_views(const KeyFrame& frame, int width, const std::function<void(Image&, const CameraView&)>& draw,
                const std::vector<std::string>& names = {});

/// The six pictures of a key frame with boxes, ways and the cameras' names, each brought to a width first so that lines stay
/// fine.
/// @throws DataError for a picture that cannot be read
Image compare_in_pictures(const KeyFrame& frame, const std::vector<DrawnBox>& boxes, const std::vector<DrawnPath>& paths,
                          int width, const std::vector<std::string>& names = {});

}  // namespace bevfusion
