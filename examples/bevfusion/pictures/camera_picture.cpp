// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/pictures/camera_picture.hpp"

#include <algorithm>
#include <optional>

#include "bevfusion/nuscenes/image_file.hpp"
#include "bevfusion/pictures/drawing.hpp"
#include "bevfusion/pictures/text.hpp"

namespace bevfusion {

namespace {

// The picture of a line between two points of the camera's frame, cut off 0.1 m before the camera.
void draw_edge(Image& image, const CameraView& view, Eigen::Vector3d a, Eigen::Vector3d b, Colour colour, double width) {
  constexpr double near = 0.1;
  if (a.z() < near && b.z() < near) return;
  if (a.z() < near) std::swap(a, b);
  if (b.z() < near) b = a + (a.z() - near) / (a.z() - b.z()) * (b - a);
  const Eigen::Vector3d pa = view.intrinsic * a;
  const Eigen::Vector3d pb = view.intrinsic * b;
  draw_line(image, pa.head<2>() / pa.z(), pb.head<2>() / pb.z(), colour, width);
}

void draw_box(Image& image, const CameraView& view, const Box3D& box, Colour colour, double width) {
  std::array<Eigen::Vector3d, 8> corners = corners_of(box);
  for (Eigen::Vector3d& corner : corners) corner = view.camera_from_lidar * corner;
  for (const auto& edge : box_edges) {
    draw_edge(image, view, corners[static_cast<std::size_t>(edge[0])], corners[static_cast<std::size_t>(edge[1])], colour, width);
  }
  draw_edge(image, view, corners[0], corners[6], colour, width);
  draw_edge(image, view, corners[2], corners[4], colour, width);
}

/// The camera whose picture stands at each place of the sheet; camera_count where none does.
std::array<std::size_t, camera_count> cameras_by_place(const std::vector<std::string>& names) {
  constexpr std::array<Channel, camera_count> places = {Channel::cam_front_left, Channel::cam_front, Channel::cam_front_right,
                                                        Channel::cam_back_right, Channel::cam_back,  Channel::cam_back_left};
  const bool known = !names.empty() && std::all_of(names.begin(), names.end(),
                                                   [](const std::string& name) { return channel_of(name).has_value(); });
  std::array<std::size_t, camera_count> cameras{};
  for (std::size_t place = 0; place < camera_count; ++place) {
    cameras[place] = static_cast<std::size_t>(places[place]);
    if (known) {
      const auto at = std::find(names.begin(), names.end(), name_of(places[place])) - names.begin();
      cameras[place] = static_cast<std::size_t>(at) < names.size() ? static_cast<std::size_t>(at) : camera_count;
    }
  }
  return cameras;
}

int height_at(const Image& image, int width) { return std::max(1, width * image.height / image.width); }

/// Each pixel is the mean of those that it covers.
void paste_shrunk(const Image& image, int width, int left, int top, Image& sheet) {
  const int height = height_at(image, width);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const int x0 = x * image.width / width;
      const int y0 = y * image.height / height;
      const int x1 = std::max(x0 + 1, (x + 1) * image.width / width);
      const int y1 = std::max(y0 + 1, (y + 1) * image.height / height);
      std::array<int, 3> sum{};
      for (int v = y0; v < y1; ++v) {
        for (int u = x0; u < x1; ++u) {
          for (std::size_t c = 0; c < 3; ++c) sum[c] += image.pixel(u, v)[c];
        }
      }
      const int count = (x1 - x0) * (y1 - y0);
      sheet.set(left + x, top + y,
                {static_cast<std::uint8_t>(sum[0] / count), static_cast<std::uint8_t>(sum[1] / count),
                 static_cast<std::uint8_t>(sum[2] / count)});
    }
  }
}

}  // namespace

void draw_boxes(Image& image, const CameraView& view, const std::vector<Box3D>& boxes, const DetectionLabels& labels,
                double width) {
  for (const Box3D& box : boxes) draw_box(image, view, box, labels.at(index_of(box.label)).colour, width);
}

void draw_boxes(Image& image, const CameraView& view, const std::vector<Box3D>& boxes, Colour colour, double width) {
  for (const Box3D& box : boxes) draw_box(image, view, box, colour, width);
}

void draw_boxes(Image& image, const CameraView& view, const std::vector<DrawnBox>& boxes, int scale) {
  for (const DrawnBox& one : boxes) draw_box(image, view, one.box, one.colour, one.width);
  for (const DrawnBox& one : boxes) {
    const auto middle = view.project(one.box.center);
    if (one.text.empty() || !middle || !view.in_image(*middle)) continue;
    double left = middle->x();
    double top = middle->y();
    for (const Eigen::Vector3d& corner : corners_of(one.box)) {
      if (const auto at = view.project(corner)) {
        left = std::min(left, at->x());
        top = std::min(top, at->y());
      }
    }
    const int x = std::clamp(static_cast<int>(left), 0, std::max(0, image.width - text_width(one.text, scale)));
    const int y = std::clamp(static_cast<int>(top) - text_height(scale), 0, std::max(0, image.height - text_height(scale)));
    draw_text(image, x, y, one.text, ink_on(one.colour), one.colour, scale);
  }
}

void draw_paths(Image& image, const CameraView& view, const std::vector<DrawnPath>& paths) {
  for (const DrawnPath& path : paths) {
    for (std::size_t i = 1; i < path.places.size(); ++i) {
      draw_edge(image, view, view.camera_from_lidar * path.places[i - 1], view.camera_from_lidar * path.places[i], path.colour,
                path.width);
      const auto at = view.project(path.places[i]);
      if (at && view.in_image(*at)) draw_line(image, at->head<2>(), at->head<2>(), path.colour, 3 * path.width);
    }
  }
}

void name_pictures(std::array<Image, camera_count>& images, int shown_width, const std::vector<std::string>& names) {
  for (std::size_t c = 0; c < camera_count; ++c) {
    const int scale = std::max(1, images[c].width * std::max(1, shown_width / 320) / shown_width);
    const std::string name = c < names.size() ? names[c] : std::string(name_of(static_cast<Channel>(c)));
    if (images[c].width > 0) draw_text(images[c], 0, 0, name, {255, 255, 255}, {0, 0, 0}, scale);
  }
}

Image six_pictures(const std::array<Image, camera_count>& images, int width, const std::vector<std::string>& names) {
  int height = 0;
  for (const Image& image : images) {
    if (image.width > 0) height = std::max(height, height_at(image, width));
  }
  if (height == 0) height = width * 9 / 16;
  Image sheet(3 * width, 2 * height, {128, 128, 128});
  const std::array<std::size_t, camera_count> shown = cameras_by_place(names);
  for (std::size_t place = 0; place < camera_count; ++place) {
    if (shown[place] < camera_count && images[shown[place]].width > 0) {
      paste_shrunk(images[shown[place]], width, static_cast<int>(place % 3) * width, static_cast<int>(place / 3) * height, sheet);
    }
  }
  return sheet;
}

std::array<Image, camera_count> read_pictures_with_boxes(const KeyFrame& frame, const std::vector<Box3D>& boxes,
                                                         const DetectionLabels& labels) {
  std::array<Image, camera_count> images;
  for (std::size_t c = 0; c < camera_count; ++c) {
    const CameraFrame& camera = frame.cameras[c];
    if (!camera.present) continue;
    images[c] = read_picture(camera);
    draw_boxes(images[c], camera.view, boxes, labels, std::max(1.0, camera.view.width / 400.0));
  }
  return images;
}

}  // namespace bevfusion
