// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "bevfusion/geometry/box.hpp"
#include "bevfusion/labels/detection_label.hpp"
#include "bevfusion/matching/bev_grid.hpp"

namespace bevfusion {

/// Which mask of foreground segmentation a class belongs to, for 1 mask (all objects), one a class, or one a group of classes
/// (of nuScenes' there are 3: vehicles; two-wheelers and pedestrians; barriers and cones). FULLER says only "foreground objects";
/// three is this model's reading. Throws std::invalid_argument for another number.
inline std::size_t foreground_mask(const DetectionLabels& labels, DetectionClass detection_class, std::size_t masks) {
  if (masks == 1) {
    return 0;
  }
  if (masks == labels.size()) {
    return index_of(detection_class);
  }
  const std::vector<std::string> groups = groups_of(labels);
  if (masks != groups.size()) {
    throw std::invalid_argument("foreground segmentation: 1, " + std::to_string(groups.size()) + " or " +
                                std::to_string(labels.size()) + " masks");
  }
  const DetectionLabel& label = labels.at(index_of(detection_class));
  const auto group = std::find(groups.begin(), groups.end(), label.group.empty() ? label.name : label.group);
  return static_cast<std::size_t>(group - groups.begin());
}

/// Sets the cells to 1 whose middle lies on the box's footprint, and the cell its centre lies in, so that no cone falls between
/// middles. Parts off the grid are left out.
inline void draw_footprint(const CellView<std::uint8_t>& mask, const BevGrid& grid, const Box3D& box) {
  if (!box.center.allFinite() || !box.size.allFinite() || !std::isfinite(box.yaw) || !(box.length() > 0 && box.width() > 0)) {
    return;
  }
  const double cos_yaw = std::cos(box.yaw);
  const double sin_yaw = std::sin(box.yaw);
  const double reach_x = (std::abs(cos_yaw) * box.length() + std::abs(sin_yaw) * box.width()) / 2;
  const double reach_y = (std::abs(sin_yaw) * box.length() + std::abs(cos_yaw) * box.width()) / 2;
  const auto clamp = [](double cells, std::size_t most) {
    return static_cast<std::size_t>(std::clamp(cells, 0.0, static_cast<double>(most)));
  };
  const std::size_t i_end = clamp(std::ceil(grid.to_cells_x(box.center.x() + reach_x)), mask.cells_x);
  const std::size_t j_end = clamp(std::ceil(grid.to_cells_y(box.center.y() + reach_y)), mask.cells_y);
  for (std::size_t i = clamp(grid.to_cells_x(box.center.x() - reach_x), mask.cells_x); i < i_end; ++i) {
    for (std::size_t j = clamp(grid.to_cells_y(box.center.y() - reach_y), mask.cells_y); j < j_end; ++j) {
      const double dx = grid.centre_x(i) - box.center.x();
      const double dy = grid.centre_y(j) - box.center.y();
      if (std::abs(cos_yaw * dx + sin_yaw * dy) <= box.length() / 2 &&
          std::abs(-sin_yaw * dx + cos_yaw * dy) <= box.width() / 2) {
        mask(i, j) = 1;
      }
    }
  }
  if (grid.contains(box.center.x(), box.center.y())) {
    mask(clamp(grid.to_cells_x(box.center.x()), mask.cells_x - 1), clamp(grid.to_cells_y(box.center.y()), mask.cells_y - 1)) = 1;
  }
}

}  // namespace bevfusion
