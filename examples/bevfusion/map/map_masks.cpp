// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/map/map_masks.hpp"

#include <Eigen/LU>
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "bevfusion/map/opencv_shapes.hpp"
#include "bevfusion/map/rasteriser.hpp"
#include "bevfusion/map/square_clip.hpp"

namespace bevfusion {

namespace {

bool is_devkit(const std::string& rule) {
  if (rule == mask_rules[0]) return true;
  if (rule == mask_rules[1]) return false;
  throw std::invalid_argument("no rule of masks is called '" + rule + "'; there are devkit and centres");
}

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

namespace {

// Cells of one label, [x, y].
using Cells = std::vector<std::uint8_t>;

// A corner that OpenCV is given: the nearest whole number, the even one of two, as numpy rounds.
Pixel rounded(const Eigen::Vector2d& p) { return {std::llrint(p.x()), std::llrint(p.y())}; }
Pixel cut(const Eigen::Vector2d& p) { return {static_cast<std::int64_t>(p.x()), static_cast<std::int64_t>(p.y())}; }

std::vector<std::vector<Pixel>> pixels_of(const std::vector<Chain>& chains, Pixel (*pixel)(const Eigen::Vector2d&)) {
  std::vector<std::vector<Pixel>> all;
  for (const Chain& chain : chains) {
    all.emplace_back(chain.size());
    std::transform(chain.begin(), chain.end(), all.back().begin(), pixel);
  }
  return all;
}

void draw_as_devkit(const MapShape& shape, const std::vector<Chain>& chains, bool lines, double width, int cells, Cells& layer) {
  const PixelPlane plane{layer.data(), cells, cells};
  if (lines) {
    const int thickness = std::max(1, static_cast<int>(std::lround(width)));
    for (const Chain& chain : chains) {
      for (const std::vector<Pixel>& piece : pixels_of(clip_line(chain, cells), cut)) draw_polyline(piece, thickness, 1, plane);
    }
  } else if (shape.valid) {
    const ClippedArea area = clip_area(chains, cells);
    fill_polygons(pixels_of(area.outlines, rounded), 1, plane);
    fill_polygons(pixels_of(area.holes, rounded), 0, plane);
  }
}

void draw_by_centres(const std::vector<Chain>& chains, bool lines, double width, bool outline, int cells, Cells& label) {
  const auto set = [&](Cells& mask) {
    return [&mask, cells](int x, int y) { mask[static_cast<std::size_t>(x * cells + y)] = 1; };
  };
  if (lines) {
    for (const Chain& chain : chains) draw_chain(chain, width, cells, cells, set(label));
    return;
  }
  const auto fill = [cells](const Chain& ring, Cells& mask, std::uint8_t value) {
    fill_rings({ring}, cells, cells, [&](int x, int first, int last) {
      std::fill(mask.begin() + x * cells + first, mask.begin() + x * cells + last, value);
    });
  };
  if (chains.empty()) return;
  if (chains.size() == 1) {
    fill(chains[0], label, 1);
  } else {
    // Holes are taken out of their own area alone.
    Cells area(label.size(), 0);
    fill(chains[0], area, 1);
    for (std::size_t hole = 1; hole < chains.size(); ++hole) fill(chains[hole], area, 0);
    std::transform(area.begin(), area.end(), label.begin(), label.begin(),
                   [](std::uint8_t a, std::uint8_t b) { return static_cast<std::uint8_t>(a | b); });
  }
  if (outline) draw_outline(chains[0], cells, cells, set(label));
}

}  // namespace

MapMasks draw_masks(const MapExpansion& map, const Eigen::Matrix3d& bev_from_global, const MapGrid& grid,
                    const MaskOptions& options) {
  const bool as_devkit = is_devkit(options.rule);
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
  const std::size_t cells_of_plane = static_cast<std::size_t>(grid.cells) * static_cast<std::size_t>(grid.cells);
  for (std::size_t label = 0; label < map.labels.size(); ++label) {
    if (!map.shapes[label]) continue;
    masks.labelled[label] = true;
    const bool lines = drawn_as_lines(map.labels[label].shapes);
    const double width = map.labels[label].line_width > 0 ? map.labels[label].line_width : options.line_width;
    std::uint8_t* mask = plane(masks, label);
    // The layers of a label are united: what a hole takes away is its own layer's alone.
    for (std::size_t layer = 0; layer < map.labels[label].layers.size(); ++layer) {
      Cells drawn(cells_of_plane, 0);
      for (const MapShape& shape : *map.shapes[label]) {
        if (shape.layer != layer) continue;
        const double reach = shape.radius * scale + width + 0.7072 * grid.cells;
        if ((place(shape.center) - middle).squaredNorm() > reach * reach) continue;
        std::vector<Chain> chains = shape.chains;
        for (Chain& chain : chains) {
          for (Eigen::Vector2d& p : chain) p = place(p);
        }
        if (as_devkit) {
          draw_as_devkit(shape, chains, lines, width, grid.cells, drawn);
        } else {
          draw_by_centres(chains, lines, width, options.outline, grid.cells, drawn);
        }
      }
      for (std::size_t cell = 0; cell < cells_of_plane; ++cell) mask[cell] = static_cast<std::uint8_t>(mask[cell] | drawn[cell]);
    }
  }
  return masks;
}

MapMasks draw_masks(const BaseMap& map, const MapLabels& labels, const Eigen::Matrix3d& bev_from_global, const MapGrid& grid,
                    const MaskOptions& options) {
  MapMasks masks(labels, grid.cells);
  const Eigen::Matrix3d global_from_bev = bev_from_global.inverse();
  const double shift = is_devkit(options.rule) ? -0.5 * grid.cell() : 0.0;
  for (std::size_t label = 0; label < labels.size(); ++label) {
    if (!labels[label].base_map) continue;
    masks.labelled[label] = true;
    std::uint8_t* mask = plane(masks, label);
    for (int x = 0; x < grid.cells; ++x) {
      for (int y = 0; y < grid.cells; ++y) {
        const Eigen::Vector3d global = global_from_bev * Eigen::Vector3d(grid.center(x) + shift, grid.center(y) + shift, 1);
        mask[x * grid.cells + y] = map.drivable(global.head<2>()) ? 1 : 0;
      }
    }
  }
  return masks;
}

}  // namespace bevfusion
