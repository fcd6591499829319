// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/pictures/bev_picture.hpp"

#include <algorithm>
#include <cmath>

#include "bevfusion/pictures/drawing.hpp"

namespace bevfusion {

BevPicture::BevPicture(const BevPictureOptions& options)
    : options_(options), image_(options.size, options.size, {255, 255, 255}) {}

Eigen::Vector2d BevPicture::place(double x, double y) const {
  const double scale = options_.size / (2 * options_.reach);
  return {(x + options_.reach) * scale, (options_.reach - y) * scale};
}

void BevPicture::draw(const MapMasks& masks, const MapGrid& grid) {
  const double step = 2 * options_.reach / options_.size;
  for (int v = 0; v < options_.size; ++v) {
    for (int u = 0; u < options_.size; ++u) {
      const double x = -options_.reach + (u + 0.5) * step;
      const double y = options_.reach - (v + 0.5) * step;
      const double i = std::floor((x + grid.reach) / grid.cell());
      const double j = std::floor((y + grid.reach) / grid.cell());
      if (i < 0 || j < 0 || i >= grid.cells || j >= grid.cells) continue;
      for (std::size_t c = 0; c < masks.labels.size(); ++c) {
        if (masks.at(c, static_cast<int>(i), static_cast<int>(j))) blend(image_, u, v, masks.labels[c].colour, 0.75);
      }
    }
  }
}

void BevPicture::draw(const std::vector<SweepPoint>& points) {
  for (const SweepPoint& p : points) {
    const Eigen::Vector2d at = place(p.x, p.y);
    if (!(std::abs(at.x()) < 1e6 && std::abs(at.y()) < 1e6)) continue;
    const auto grey = static_cast<std::uint8_t>(std::clamp(150 - 60 * (p.z + 1.8), 0.0, 170.0));
    image_.set(static_cast<int>(std::floor(at.x())), static_cast<int>(std::floor(at.y())), {grey, grey, grey});
  }
}

void BevPicture::draw(const std::vector<Box3D>& boxes, const DetectionLabels& labels, double width) {
  for (const Box3D& box : boxes) outline(box, labels.at(index_of(box.label)).colour, width);
}

void BevPicture::draw(const std::vector<Box3D>& boxes, Colour colour, double width) {
  for (const Box3D& box : boxes) outline(box, colour, width);
}

void BevPicture::outline(const Box3D& box, Colour colour, double width) {
  const auto corners = corners_of(box);
  const auto at = [&](std::size_t i) { return place(corners[i].x(), corners[i].y()); };
  for (const auto& [a, b] : {std::pair<std::size_t, std::size_t>{0, 1}, {1, 3}, {3, 2}, {2, 0}})
    draw_line(image_, at(a), at(b), colour, width);
  draw_line(image_, place(box.center.x(), box.center.y()), 0.5 * (at(0) + at(2)), colour, width);
  if (!box.velocity_known() || box.velocity.norm() < 0.2) return;
  const Eigen::Vector2d ahead = box.center.head<2>() + 2 * box.velocity;
  draw_line(image_, place(box.center.x(), box.center.y()), place(ahead.x(), ahead.y()), {20, 20, 20}, 1);
}

}  // namespace bevfusion
