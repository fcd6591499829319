// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string>
#include <vector>

#include "bevfusion/geometry/box.hpp"
#include "bevfusion/geometry/camera_view.hpp"
#include "bevfusion/labels/detection_label.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/pictures/drawn_box.hpp"
#include "bevfusion/pictures/drawn_path.hpp"
#include "bevfusion/pictures/image.hpp"

namespace bevfusion {

/// Draws boxes (frame of the LiDAR) into a camera's picture, edges cut off just before the camera; the front face is crossed. The
/// view's pixels are those of the picture: scale its intrinsic matrix where the picture was scaled.
void draw_boxes(Image& image, const CameraView& view, const std::vector<Box3D>& boxes, const DetectionLabels& labels,
                double width = 2);
void draw_boxes(Image& image, const CameraView& view, const std::vector<Box3D>& boxes, Colour colour, double width);
/// The same, each as it says, with its text above it where its middle is in the picture.
/// @param scale  of the texts
void draw_boxes(Image& image, const CameraView& view, const std::vector<DrawnBox>& boxes, int scale);

/// Draws ways on the ground, cut off just before the camera.
void draw_paths(Image& image, const CameraView& view, const std::vector<DrawnPath>& paths);

/// Writes each picture's camera into its left top corner, as large as can be read where it is shown at a width.
/// @param names  of the cameras, one by one (data.cameras); nuScenes' where empty
void name_pictures(std::array<Image, camera_count>& images, int shown_width, const std::vector<std::string>& names = {});

/// Six pictures side by side in two rows: front left, front, front right above back right, back, back left; each `width` pixels
/// wide, in rows as high as the highest. A camera that is absent leaves its place grey. Cameras of which one has a name that
/// nuScenes does not know stand as if they were nuScenes', one by one.
/// @param names  of the cameras, as in name_pictures()
Image six_pictures(const std::array<Image, camera_count>& images, int width, const std::vector<std::string>& names = {});

/// Reads the six pictures of a key frame with its boxes drawn in, in the colours of their labels.
std::array<Image, camera_count> read_pictures_with_boxes(const KeyFrame& frame, const std::vector<Box3D>& boxes,
                                                         const DetectionLabels& labels);

}  // namespace bevfusion
