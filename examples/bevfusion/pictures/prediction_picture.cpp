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

Image side_by_side(const std::vector<Image>& pictures) {
  int width = -gap;
  for (const Image& one : pictures) {
    width += one.width + gap;
  }
  Image all(width, pictures.front().height, background);
  int left = 0;
  for (const Image& one : pictures) {
    paste(one, left, all);
    left += one.width + gap;
  }
  return all;
}

Image views_from_above(const std::vector<SceneView>& views, const std::vector<SweepPoint>& points, const MapGrid& grid,
                       double reach, int size) {
  std::vector<Image> pictures;
  for (const SceneView& scene : views) {
    BevPicture picture({reach, size});
    if (scene.masks.cells > 0) {
      picture.draw(scene.masks, grid);
    }
    picture.draw(points);
    picture.draw(scene.boxes);
    picture.draw(scene.paths);
    picture.draw_ego_and_scale();
    pictures.push_back(picture.image());
  }
  return side_by_side(pictures);
}

Image compare_from_above(const SceneView& truth, const SceneView& prediction, const std::vector<SweepPoint>& points,
                         const MapGrid& grid, double reach, int size) {
  return views_from_above({truth, prediction}, points, grid, reach, size);
}

Image six_views(const KeyFrame& frame, int width, const std::function<void(Image&, const CameraView&)>& draw,
                const std::vector<std::string>& names) {
  std::array<Image, camera_count> images;
  for (std::size_t c = 0; c < camera_count; ++c) {
    if (!frame.cameras[c].present) {
      continue;
    }
    CameraView view = frame.cameras[c].view;
    images[c] = read_picture(frame.cameras[c]);
    scale(images[c], view, width);
    draw(images[c], view);
  }
  name_pictures(images, width, names);
  return six_pictures(images, width, names);
}

Image compare_in_pictures(const KeyFrame& frame, const std::vector<DrawnBox>& boxes, const std::vector<DrawnPath>& paths,
                          int width, const std::vector<std::string>& names) {
  const int scale_of_text = std::max(1, width / 320);
  const auto draw = [&](Image& image, const CameraView& view) {
    draw_boxes(image, view, boxes, scale_of_text);
    draw_paths(image, view, paths);
  };
  return six_views(frame, width, draw, names);
}

}  // namespace bevfusion
