// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/pictures/prediction_picture.hpp"

#include <algorithm>
#include <array>

#include "bevfusion/loading/image_augmentation.hpp"
#include "bevfusion/nuscenes/image_file.hpp"
#include "bevfusion/pictures/bev_picture.hpp"
#include "bevfusion/pictures/camera_picture.hpp"

namespace bevfusion {
namespace {

constexpr Colour background = {200, 200, 200};
constexpr int gap = 12;  // pixels between views

void paste(const Image& from, int left, Image& onto) {
  for (int y = 0; y < from.height; ++y) {
    std::copy_n(from.pixel(0, y), 3 * static_cast<std::size_t>(from.width), onto.pixel(left, y));
  }
}

/// The picture and its view at another width.
void scale(Image& image, CameraView& view, int width) {
  ImageAugmentation to_width;
  to_width.resize = static_cast<double>(width) / image.width;
  to_width.width = width;
  to_width.height = static_cast<int>(to_width.resize * image.height + 0.5);
  image = resample(image, to_width);
  view.intrinsic.topRows<2>() *= to_width.resize;
  view.width = image.width;
  view.height = image.height;
}

}  // namespace

Image compare_from_above(const SceneView& truth, const SceneView& prediction, const std::vector<SweepPoint>& points,
                         const MapGrid& grid, double reach, int size) {
  const auto view = [&](const SceneView& scene) {
    BevPicture picture({reach, size});
    if (scene.masks.cells > 0) {
      picture.draw(scene.masks, grid);
    }
    picture.draw(points);
    picture.draw(scene.boxes);
    picture.draw(scene.paths);
    picture.draw_ego_and_scale();
    return picture;
  };
  Image both(2 * size + gap, size, background);
  paste(view(truth).image(), 0, both);
  paste(view(prediction).image(), size + gap, both);
  return both;
}

Image compare_in_pictures(const KeyFrame& frame, const std::vector<DrawnBox>& boxes, const std::vector<DrawnPath>& paths,
                          int width) {
  const int scale_of_text = std::max(1, width / 320);
  std::array<Image, camera_count> images;
  for (std::size_t c = 0; c < camera_count; ++c) {
    if (!frame.cameras[c].present) {
      continue;
    }
    CameraView view = frame.cameras[c].view;
    images[c] = read_picture(frame.cameras[c]);
    scale(images[c], view, width);
    draw_boxes(images[c], view, boxes, scale_of_text);
    draw_paths(images[c], view, paths);
  }
  name_pictures(images, width);
  return six_pictures(images, width);
}

}  // namespace bevfusion
