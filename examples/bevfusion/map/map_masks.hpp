// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <array>
#include <cstdint>
#include <vector>

#include "bevfusion/geometry/rigid_transform.hpp"
#include "bevfusion/map/base_map.hpp"
#include "bevfusion/map/map_expansion.hpp"

namespace bevfusion {

/// A square of cells around the LiDAR: cell (i, j) has its centre at x = -reach + (i + 0.5) cell, y likewise from j.
struct MapGrid {
  double reach = 50;  ///< m, half the square's side
  int cells = 200;    ///< along a side

  double cell() const { return 2.0 * reach / cells; }
  double center(int index) const { return -reach + (index + 0.5) * cell(); }
};

/// Masks of the six map classes.
struct MapMasks {
  int cells = 0;
  std::array<bool, map_class_count> labelled{};  ///< a class without a layer is unlabelled: it enters neither loss nor metric
  std::vector<std::uint8_t> values;              ///< [class, x, y], 0 or 1; 0 throughout an unlabelled class

  bool at(MapClass label, int x, int y) const {
    const auto side = static_cast<std::size_t>(cells);
    return values[(static_cast<std::size_t>(label) * side + static_cast<std::size_t>(x)) * side + static_cast<std::size_t>(y)] !=
           0;
  }
};

struct MaskOptions {
  /// Also set every cell that an area's edge passes through. nuScenes' devkit fills areas with OpenCV, outline included; without
  /// it (the pixel-centre rule) an area neither grows nor shrinks on average.
  bool outline = false;
  double line_width = 2;  ///< of dividers, in cells
};

/// The change of plane from global x, y to the BEV plane of the LiDAR, homogeneous 3 x 3: the LiDAR's place goes to 0, the
/// direction of its x axis to x. `augmentation` (a BEV plane to another) is applied last: rotations, scalings, translations and
/// flips of the point cloud.
Eigen::Matrix3d bev_from_global(const RigidTransform& global_from_lidar,
                                const Eigen::Matrix3d& augmentation = Eigen::Matrix3d::Identity());

/// Draws the layers that the map has; the others stay unlabelled.
MapMasks draw_masks(const MapExpansion& map, const Eigen::Matrix3d& bev_from_global, const MapGrid& grid = {},
                    const MaskOptions& options = {});

/// Samples the drivable area at the cells' centres from the base map, where there is no expansion; all other classes stay
/// unlabelled.
MapMasks draw_masks(const BaseMap& map, const Eigen::Matrix3d& bev_from_global, const MapGrid& grid = {});

}  // namespace bevfusion
