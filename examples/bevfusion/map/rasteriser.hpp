// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <vector>

#include "bevfusion/map/map_expansion.hpp"

namespace bevfusion {

// Scan conversion on a grid of rows x columns cells. Points are (row, column) in cells; cell (i, j) covers [i, i + 1) x [j, j +
// 1) and its centre is (i + 0.5, j + 0.5).

/// Calls run(row, first, last) for all cells, first <= column < last, whose centre lies inside the rings by the even-odd rule, so
/// that inner rings are holes.
template <typename Run>
void fill_rings(const std::vector<Chain>& rings, int rows, int columns, Run&& run) {
  double low = rows;
  double high = 0;
  for (const Chain& ring : rings) {
    for (const Eigen::Vector2d& p : ring) {
      low = std::min(low, p.x());
      high = std::max(high, p.x());
    }
  }
  const int first_row = std::max(0, static_cast<int>(std::ceil(std::max(low, 0.0) - 0.5)));
  const int last_row = static_cast<int>(std::ceil(std::min(high, static_cast<double>(rows)) - 0.5));
  std::vector<double> crossings;
  for (int row = first_row; row < last_row; ++row) {
    const double x = row + 0.5;
    crossings.clear();
    for (const Chain& ring : rings) {
      for (std::size_t i = 0; i < ring.size(); ++i) {
        const Eigen::Vector2d& a = ring[i];
        const Eigen::Vector2d& b = ring[i + 1 < ring.size() ? i + 1 : 0];
        if ((a.x() <= x) == (b.x() <= x)) continue;
        crossings.push_back(a.y() + (x - a.x()) / (b.x() - a.x()) * (b.y() - a.y()));
      }
    }
    std::sort(crossings.begin(), crossings.end());
    for (std::size_t i = 0; i + 1 < crossings.size(); i += 2) {
      const double from = std::clamp(std::ceil(crossings[i] - 0.5), 0.0, static_cast<double>(columns));
      const double to = std::clamp(std::ceil(crossings[i + 1] - 0.5), 0.0, static_cast<double>(columns));
      if (from < to) run(row, static_cast<int>(from), static_cast<int>(to));
    }
  }
}

/// Calls cell(row, column) for all cells whose centre lies within half the thickness (cells) of the chain.
template <typename Cell>
void draw_chain(const Chain& chain, double thickness, int rows, int columns, Cell&& cell) {
  const double reach = 0.5 * thickness;
  for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
    const Eigen::Vector2d& a = chain[i];
    const Eigen::Vector2d along = chain[i + 1] - a;
    const double length2 = along.squaredNorm();
    const Eigen::Vector2d low = a.cwiseMin(chain[i + 1]).array() - reach;
    const Eigen::Vector2d high = a.cwiseMax(chain[i + 1]).array() + reach;
    const auto bound = [](double v, int most) {
      return static_cast<int>(std::clamp(std::floor(v), 0.0, static_cast<double>(most)));
    };
    for (int row = bound(low.x(), rows); row < bound(high.x() + 1, rows); ++row) {
      for (int column = bound(low.y(), columns); column < bound(high.y() + 1, columns); ++column) {
        const Eigen::Vector2d to(row + 0.5 - a.x(), column + 0.5 - a.y());
        const double t = length2 > 0 ? std::clamp(to.dot(along) / length2, 0.0, 1.0) : 0.0;
        if ((to - t * along).squaredNorm() <= reach * reach) cell(row, column);
      }
    }
  }
}

/// Calls cell(row, column) for every cell that the closed ring's edges pass through.
template <typename Cell>
void draw_outline(const Chain& ring, int rows, int columns, Cell&& cell) {
  for (std::size_t i = 0; i < ring.size(); ++i) {
    const Eigen::Vector2d& a = ring[i];
    const Eigen::Vector2d along = ring[i + 1 < ring.size() ? i + 1 : 0] - a;
    // Clip to the grid first (Liang and Barsky), so that far shapes cost nothing.
    double from = 0;
    double to = 1;
    const double origin[4] = {a.x(), rows - a.x(), a.y(), columns - a.y()};
    const double slope[4] = {along.x(), -along.x(), along.y(), -along.y()};
    for (int side = 0; side < 4; ++side) {
      if (slope[side] == 0) {
        if (origin[side] < 0) to = -1;
      } else if (slope[side] > 0) {
        from = std::max(from, -origin[side] / slope[side]);
      } else {
        to = std::min(to, -origin[side] / slope[side]);
      }
    }
    if (from > to) continue;
    const int steps = 1 + static_cast<int>(4.0 * along.norm() * (to - from));
    for (int s = 0; s <= steps; ++s) {
      const Eigen::Vector2d p = a + (from + (to - from) * s / steps) * along;
      const int row = static_cast<int>(std::floor(p.x()));
      const int column = static_cast<int>(std::floor(p.y()));
      if (row >= 0 && column >= 0 && row < rows && column < columns) cell(row, column);
    }
  }
}

}  // namespace bevfusion
