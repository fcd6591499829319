// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
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

/// Masks of map classes.
struct MapMasks {
  int cells = 0;
  MapLabels labels;                  ///< what the classes are
  std::vector<bool> labelled;        ///< a class without its layers is unlabelled: it enters neither loss nor metric
  std::vector<std::uint8_t> values;  ///< [class, x, y], 0 or 1; 0 throughout an unlabelled class

  /// All empty and unlabelled.
  explicit MapMasks(MapLabels of = {}, int cells_of_side = 0)
      : cells(cells_of_side),
        labels(std::move(of)),
        labelled(labels.size(), false),
        values(labels.size() * static_cast<std::size_t>(cells) * static_cast<std::size_t>(cells), 0) {}

  bool at(std::size_t label, int x, int y) const {
    const auto side = static_cast<std::size_t>(cells);
    return values[(label * side + static_cast<std::size_t>(x)) * side + static_cast<std::size_t>(y)] != 0;
  }
  bool at(std::string_view label, int x, int y) const { return at(index_of(labels, label), x, y); }
};

/// Rules by which a shape covers cells.
///
/// `devkit`: those that nuScenes' devkit draws (NuScenesMap.get_map_mask, with OpenCV), on which published figures rest. Shapes
/// are cut at the square's edge, corners rounded to whole cells (of lines: down), areas filled with their outline, holes taken
/// out with theirs from all that the layer has drawn before, and lines are a cell wider than their width where that is even. A
/// pixel's centre is at whole numbers there, so all lies half a cell farther along x and y than by `centres`. Polygons that are
/// no areas (MapShape::valid) are left out.
///
/// `centres`: the cells whose centre lies in the area and in none of its holes, or within half the width of the line. No shape
/// grows or moves on average.
inline constexpr std::array<const char*, 2> mask_rules = {"devkit", "centres"};

struct MaskOptions {
  std::string rule = "devkit";  ///< one of mask_rules
  bool outline = false;         ///< by `centres`: also every cell that the outer edge of an area passes through
  double line_width = 2;        ///< in cells, of lines whose label has no width of its own; by `devkit` the nearest whole number
};

/// The change of plane from global x, y to the BEV plane of the LiDAR, homogeneous 3 x 3: the LiDAR's place goes to 0, the
/// direction of its x axis to x. `augmentation` (a BEV plane to another) is applied last: rotations, scalings, translations and
/// flips of the point cloud.
Eigen::Matrix3d bev_from_global(const RigidTransform& global_from_lidar,
                                const Eigen::Matrix3d& augmentation = Eigen::Matrix3d::Identity());

/// Draws the map's labels that it has the layers of; the others stay unlabelled. Throws std::invalid_argument for an unknown
/// rule.
MapMasks draw_masks(const MapExpansion& map, const Eigen::Matrix3d& bev_from_global, const MapGrid& grid = {},
                    const MaskOptions& options = {});

/// Samples the base map at the cells' centres (by `devkit` half a cell before them, where that rule has them), where
/// there is no expansion, for the labels that it can stand in for; the others stay unlabelled.
MapMasks draw_masks(const BaseMap& map, const MapLabels& labels, const Eigen::Matrix3d& bev_from_global, const MapGrid& grid = {},
                    const MaskOptions& options = {});

}  // namespace bevfusion
