// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>

namespace bevfusion {

/// Square cells over the ground plane of the LIDAR_TOP frame: index i along x spans [x_min + i cell, x_min + (i + 1) cell).
struct BevGrid {
  double x_min = -51.2;  ///< m
  double y_min = -51.2;
  double cell = 0.8;  ///< edge, m
  std::size_t cells_x = 128;
  std::size_t cells_y = 128;

  double x_max() const { return x_min + cell * static_cast<double>(cells_x); }
  double y_max() const { return y_min + cell * static_cast<double>(cells_y); }

  /// Metres to cells, from the grid's corner.
  double to_cells_x(double x) const { return (x - x_min) / cell; }
  double to_cells_y(double y) const { return (y - y_min) / cell; }

  /// Middle of a cell, m.
  double centre_x(std::size_t i) const { return x_min + (static_cast<double>(i) + 0.5) * cell; }
  double centre_y(std::size_t j) const { return y_min + (static_cast<double>(j) + 0.5) * cell; }

  bool contains(double x, double y) const { return x >= x_min && x < x_max() && y >= y_min && y < y_max(); }
};

/// A view of cells_x x cells_y values somewhere else, row-major with x first: the layout of a BEV tensor's last two dimensions.
template <class T>
struct CellView {
  T* values;
  std::size_t cells_x;
  std::size_t cells_y;

  T& operator()(std::size_t i, std::size_t j) const { return values[i * cells_y + j]; }
};

}  // namespace bevfusion
