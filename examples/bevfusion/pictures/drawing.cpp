// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/pictures/drawing.hpp"

#include <algorithm>
#include <cmath>

#include "bevfusion/map/rasteriser.hpp"

namespace bevfusion {

void draw_line(Image& image, Eigen::Vector2d from, Eigen::Vector2d to, Colour colour, double width) {
  if (!from.allFinite() || !to.allFinite()) return;
  // In steps of half a pixel, over the part that can touch the picture.
  const Eigen::Vector2d along = to - from;
  double first = 0;
  double last = 1;
  const double low[2] = {-width, -width};
  const double high[2] = {image.width + width, image.height + width};
  for (int axis = 0; axis < 2; ++axis) {
    if (along[axis] == 0) {
      if (from[axis] < low[axis] || from[axis] > high[axis]) return;
      continue;
    }
    const double a = (low[axis] - from[axis]) / along[axis];
    const double b = (high[axis] - from[axis]) / along[axis];
    first = std::max(first, std::min(a, b));
    last = std::min(last, std::max(a, b));
  }
  if (first > last) return;
  const int steps = 1 + static_cast<int>(2 * along.norm() * (last - first));
  const double reach = 0.5 * std::max(1.0, width);
  for (int s = 0; s <= steps; ++s) {
    const Eigen::Vector2d p = from + (first + (last - first) * s / steps) * along;
    for (int y = static_cast<int>(std::floor(p.y() - reach + 0.5));
         y < p.y() + reach - 0.5 + 1e-9 || y == static_cast<int>(std::floor(p.y())); ++y) {
      for (int x = static_cast<int>(std::floor(p.x() - reach + 0.5));
           x < p.x() + reach - 0.5 + 1e-9 || x == static_cast<int>(std::floor(p.x())); ++x) {
        image.set(x, y, colour);
      }
    }
  }
}

}  // namespace bevfusion
