// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/map/map_masks.hpp"

#include <Eigen/LU>

#include "bevfusion/map/rasteriser.hpp"

namespace bevfusion {

namespace {

std::uint8_t* plane(MapMasks& masks, std::size_t label) {
  return masks.values.data() + label * static_cast<std::size_t>(masks.cells) * static_cast<std::size_t>(masks.cells);
}

}  // namespace

Eigen::Matrix3d bev_from_global(const RigidTransform& global_from_lidar, const Eigen::Matrix3d& augmentation) {
  const double yaw = yaw_of(global_from_lidar.rotation);
  Eigen::Matrix3d bev = Eigen::Matrix3d::Identity();
  bev.topLeftCorner<2, 2>() << std::cos(yaw), std::sin(yaw), -std::sin(yaw), std::cos(yaw);
  bev.topRightCorner<2, 1>() = -(bev.topLeftCorner<2, 2>() * global_from_lidar.translation.head<2>());
  return augmentation * bev;
}

MapMasks draw_masks(const MapExpansion& map, const Eigen::Matrix3d& bev_from_global, const MapGrid& grid,
                    const MaskOptions& options) {
  MapMasks masks(map.labels, grid.cells);
  // Global to cells.
  Eigen::Matrix3d to_cells = Eigen::Matrix3d::Identity();
  to_cells.topLeftCorner<2, 2>() /= grid.cell();
  to_cells.topRightCorner<2, 1>().setConstant(grid.reach / grid.cell());
  to_cells = to_cells * bev_from_global;
  const double scale = to_cells.topLeftCorner<2, 2>().norm();  // no length grows by more
  const Eigen::Vector2d middle = Eigen::Vector2d::Constant(0.5 * grid.cells);
  const auto place = [&](const Eigen::Vector2d& p) -> Eigen::Vector2d {
    return to_cells.topLeftCorner<2, 2>() * p + to_cells.topRightCorner<2, 1>();
  };
  for (std::size_t label = 0; label < map.labels.size(); ++label) {
    if (!map.shapes[label]) continue;
    masks.labelled[label] = true;
    const bool lines = map.labels[label].shapes == MapShapes::lines;
    const double width = map.labels[label].line_width > 0 ? map.labels[label].line_width : options.line_width;
    std::uint8_t* mask = plane(masks, label);
    const auto set = [&](int x, int y) { mask[x * grid.cells + y] = 1; };
    for (const MapShape& shape : *map.shapes[label]) {
      const double reach = shape.radius * scale + width + 0.7072 * grid.cells;
      if ((place(shape.center) - middle).squaredNorm() > reach * reach) continue;
      std::vector<Chain> chains = shape.chains;
      for (Chain& chain : chains) {
        for (Eigen::Vector2d& p : chain) p = place(p);
      }
      if (lines) {
        for (const Chain& chain : chains) draw_chain(chain, width, grid.cells, grid.cells, set);
        continue;
      }
      fill_rings(chains, grid.cells, grid.cells, [&](int x, int first, int last) {
        for (int y = first; y < last; ++y) set(x, y);
      });
      if (options.outline && !chains.empty()) draw_outline(chains[0], grid.cells, grid.cells, set);
    }
  }
  return masks;
}

MapMasks draw_masks(const BaseMap& map, const MapLabels& labels, const Eigen::Matrix3d& bev_from_global, const MapGrid& grid) {
  MapMasks masks(labels, grid.cells);
  const Eigen::Matrix3d global_from_bev = bev_from_global.inverse();
  for (std::size_t label = 0; label < labels.size(); ++label) {
    if (!labels[label].base_map) continue;
    masks.labelled[label] = true;
    std::uint8_t* mask = plane(masks, label);
    for (int x = 0; x < grid.cells; ++x) {
      for (int y = 0; y < grid.cells; ++y) {
        const Eigen::Vector3d global = global_from_bev * Eigen::Vector3d(grid.center(x), grid.center(y), 1);
        mask[x * grid.cells + y] = map.drivable(global.head<2>()) ? 1 : 0;
      }
    }
  }
  return masks;
}

}  // namespace bevfusion
