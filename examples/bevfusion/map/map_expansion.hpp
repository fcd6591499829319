// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <array>
#include <filesystem>
#include <istream>
#include <optional>
#include <string>
#include <vector>

#include "bevfusion/map/map_class.hpp"

namespace bevfusion {

/// A ring of corners or a chain of points, global x and y, m.
using Chain = std::vector<Eigen::Vector2d>;

/// Rings of an area: the outer one first, then holes; or a single chain for a line. With a circle around it, to tell what is far
/// away.
struct MapShape {
  std::vector<Chain> chains;
  Eigen::Vector2d center = Eigen::Vector2d::Zero();
  double radius = 0;

  explicit MapShape(std::vector<Chain> all);
};

/// The parts of a nuScenes map expansion (v1.3) that the six classes come from. A layer that the file has not is unlabelled,
/// which is not the same as empty.
struct MapExpansion {
  Eigen::Vector2d canvas_edge = Eigen::Vector2d::Zero();  ///< size of the whole map, m
  /// Areas, or lines for divider. No value: unlabelled; for divider, where either of its two layers is absent.
  std::array<std::optional<std::vector<MapShape>>, map_class_count> layers;
};

/// Streams a map expansion; throws DataError where it is no JSON, lacks canvas_edge, or refers to a node, polygon or line that is
/// not there. `file` is what errors call it.
MapExpansion read_map_expansion(std::istream& stream, const std::string& file);
MapExpansion read_map_expansion(const std::filesystem::path& file);

}  // namespace bevfusion
