// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "bevfusion/geometry/box.hpp"
#include "bevfusion/matching/bev_grid.hpp"

namespace bevfusion {

/// How far a corner of a box of this size (cells) may move before the boxes overlap by less than `overlap`, cells, real-valued.
///
/// The least of CornerNet's three cases, each as (b + sqrt(b^2 - 4 a c)) / 2. That is no root unless a = 1, but it is what
/// CenterPoint, TransFusion and BEVFusion compute, so all published figures stand on it.
inline double gaussian_radius(double length, double width, double overlap) {
  const double sum = length + width;
  const double product = length * width;
  const auto larger = [](double a, double b, double c) { return (b + std::sqrt(b * b - 4 * a * c)) / 2; };
  const double one_corner_each = larger(1, sum, product * (1 - overlap) / (1 + overlap));
  const double inside = larger(4, 2 * sum, (1 - overlap) * product);
  const double around = larger(4 * overlap, -2 * overlap * sum, (overlap - 1) * product);
  return std::min({one_corner_each, inside, around});
}

/// Raises the map to exp(-d^2 / (2 sigma^2)) around cell (i, j), d in cells, sigma = (2 radius + 1) / 6, over the square of
/// `radius` cells each way that lies on the map. The middle becomes exactly 1; larger values stay.
inline void draw_gaussian(const CellView<float>& map, std::size_t i, std::size_t j, std::size_t radius) {
  const double sigma = (2 * static_cast<double>(radius) + 1) / 6;
  const std::size_t i_end = std::min(i + radius + 1, map.cells_x);
  const std::size_t j_end = std::min(j + radius + 1, map.cells_y);
  for (std::size_t a = i - std::min(i, radius); a < i_end; ++a) {
    for (std::size_t b = j - std::min(j, radius); b < j_end; ++b) {
      const double dx = static_cast<double>(a) - static_cast<double>(i);
      const double dy = static_cast<double>(b) - static_cast<double>(j);
      const auto value = static_cast<float>(std::exp(-(dx * dx + dy * dy) / (2 * sigma * sigma)));
      map(a, b) = std::max(map(a, b), value);
    }
  }
}

/// How boxes become heat-map targets; the defaults are BEVFusion's.
struct GaussianOptions {
  double overlap = 0.1;
  std::size_t min_radius = 2;  ///< cells
};

/// Draws the target of one box on its class's heat map, whose cells are those of `grid`. Returns false, and draws nothing, for a
/// box whose centre is off the grid or whose footprint is empty.
inline bool draw_target(const CellView<float>& map, const BevGrid& grid, const Box3D& box, const GaussianOptions& options = {}) {
  if (!grid.contains(box.center.x(), box.center.y()) || !(box.length() > 0 && box.width() > 0)) {
    return false;
  }
  const double radius = gaussian_radius(box.length() / grid.cell, box.width() / grid.cell, options.overlap);
  const auto i = std::min(static_cast<std::size_t>(grid.to_cells_x(box.center.x())), map.cells_x - 1);
  const auto j = std::min(static_cast<std::size_t>(grid.to_cells_y(box.center.y())), map.cells_y - 1);
  draw_gaussian(map, i, j, std::max(options.min_radius, static_cast<std::size_t>(radius)));
  return true;
}

}  // namespace bevfusion
