// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/pictures/bev_picture.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "bevfusion/pictures/drawing.hpp"
#include "bevfusion/pictures/picture_colours.hpp"
#include "bevfusion/pictures/text.hpp"

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
        if (masks.at(c, static_cast<int>(i), static_cast<int>(j))) image_.set(u, v, map_colour(masks.labels[c]));
      }
    }
  }
}

void BevPicture::draw(const GroundWeights& weights) {
  const double step = 2 * options_.reach / options_.size;
  const std::vector<double> strengths = weights.strengths();
  for (int v = 0; v < options_.size; ++v) {
    for (int u = 0; u < options_.size; ++u) {
      const auto window = weights.window(-options_.reach + (u + 0.5) * step, options_.reach - (v + 0.5) * step);
      image_.set(u, v, mixed({255, 255, 255}, attention_colour, window ? strengths[*window] : 0));
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

void BevPicture::draw(const std::vector<DrawnBox>& boxes) {
  for (const DrawnBox& one : boxes) outline(one.box, one.colour, one.width);
  const int scale = std::max(1, options_.size / 640);
  for (const DrawnBox& one : boxes) {
    if (one.text.empty()) continue;
    const Eigen::Vector2d at = place(one.box.center.x(), one.box.center.y());
    if (!(at.minCoeff() >= 0 && at.maxCoeff() < options_.size)) continue;
    const double beside = 0.5 * std::max(one.box.width(), one.box.length()) * options_.size / (2 * options_.reach);
    const int x = static_cast<int>(at.x() + std::min(beside, 0.1 * options_.size)) + 3;
    draw_text(image_, std::min(x, options_.size - text_width(one.text, scale)), static_cast<int>(at.y()) - text_height(scale) / 2,
              one.text, ink_on(one.colour), one.colour, scale);
  }
}

void BevPicture::draw(const std::vector<DrawnPath>& paths) {
  for (const DrawnPath& path : paths) {
    for (std::size_t i = 1; i < path.places.size(); ++i) {
      const Eigen::Vector2d from = place(path.places[i - 1].x(), path.places[i - 1].y());
      const Eigen::Vector2d to = place(path.places[i].x(), path.places[i].y());
      draw_line(image_, from, to, path.colour, path.width);
      draw_line(image_, to, to, path.colour, 3 * path.width);
    }
  }
}

void BevPicture::draw_ego_and_scale() {
  const double pixels = options_.size / (2 * options_.reach);
  const double half = std::max(6.0, 2.0 * pixels);  // a car's half length, and never too small to see
  const Eigen::Vector2d middle = place(0, 0);
  for (int v = -static_cast<int>(half); v <= static_cast<int>(half); ++v) {
    const double side = 0.5 * half * (v + half) / (2 * half) + 0.5;
    for (int u = -static_cast<int>(side); u <= static_cast<int>(side); ++u) {
      image_.set(static_cast<int>(middle.x()) + u, static_cast<int>(middle.y()) + v, ego_colour);
    }
  }
  const double length = scale_bar_length(options_.reach);
  const int scale = std::max(1, options_.size / 320);
  const double left = 4.0 * scale;
  const double y = options_.size - 5.0 * scale;
  draw_line(image_, {left, y}, {left + length * pixels - 1, y}, ego_colour, scale);
  for (const double x : {left, left + length * pixels - 1}) {
    draw_line(image_, {x, y - 2.0 * scale}, {x, y + 2.0 * scale}, ego_colour, std::max(1, scale / 2));
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%g m", length);
  draw_text(image_, static_cast<int>(left), static_cast<int>(y) - 3 * scale - text_height(scale), text.data(), ego_colour,
            {255, 255, 255}, scale);
}

double scale_bar_length(double reach) {
  const double most = reach / 2;
  const double power = std::pow(10, std::floor(std::log10(most)));
  return power * (most >= 5 * power ? 5 : most >= 2 * power ? 2 : 1);
}

void BevPicture::outline(const Box3D& box, Colour colour, double width) {
  // The section through its middle: neither roof nor floor of a box that leans is above its footprint.
  const RigidTransform pose = box.pose();
  const auto at = [&](std::size_t i) {
    const Eigen::Vector3d corner =
        pose * Eigen::Vector3d((i & 1U ? -0.5 : 0.5) * box.length(), (i & 2U ? -0.5 : 0.5) * box.width(), 0);
    return place(corner.x(), corner.y());
  };
  for (const auto& [a, b] : {std::pair<std::size_t, std::size_t>{0, 1}, {1, 3}, {3, 2}, {2, 0}})
    draw_line(image_, at(a), at(b), colour, width);
  draw_line(image_, place(box.center.x(), box.center.y()), 0.5 * (at(0) + at(2)), colour, width);
  if (!box.velocity_known() || box.velocity.norm() < 0.2) return;
  const Eigen::Vector2d ahead = box.center.head<2>() + 2 * box.velocity;
  draw_line(image_, place(box.center.x(), box.center.y()), place(ahead.x(), ahead.y()), colour, 1);
}

}  // namespace bevfusion
