// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <filesystem>
#include <istream>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bevfusion/labels/map_label.hpp"

namespace bevfusion {

/// A ring of corners or a chain of points, global x and y, m.
using Chain = std::vector<Eigen::Vector2d>;

/// Rings of an area: the outer one first, then holes; or a single chain for a line. With a circle around it, to tell what is far
/// away.
struct MapShape {
  std::vector<Chain> chains;
  std::size_t layer = 0;  ///< of the label's layers
  /// Whether the rings make an area (is_valid_area()). Drivable areas, of several polygons a row, are not looked at: the devkit
  /// takes them as they are.
  bool valid = true;
  Eigen::Vector2d center = Eigen::Vector2d::Zero();
  double radius = 0;

  explicit MapShape(std::vector<Chain> all);
};

/// Rows of a layer that are not drawn, or not under every rule.
struct MapLayerFaults {
  std::size_t without_shape = 0;  ///< their polygon or line is null or empty
  std::size_t no_areas = 0;  ///< their polygon crosses itself, or its holes do not lie in it: the rule `devkit` leaves it out
};

/// The parts of a nuScenes map expansion (v1.3) that some labels are made of.
struct MapExpansion {
  Eigen::Vector2d canvas_edge = Eigen::Vector2d::Zero();  ///< size of the whole map, m
  MapLabels labels;
  /// Areas or lines of each label. No value: unlabelled, because the file has not all of its layers, which is not the same as
  /// empty.
  std::vector<std::optional<std::vector<MapShape>>> shapes;
  std::map<std::string, MapLayerFaults> faults;  ///< of the labels' layers, by name; only those that have any

  /// No map at all: every label is unlabelled.
  explicit MapExpansion(MapLabels of = {}) : labels(std::move(of)), shapes(labels.size()) {}
};

/// Streams the labels' layers of a map expansion; throws DataError where it is no JSON, lacks canvas_edge, or one of these layers
/// refers to a node, polygon or line that is not there. A row whose shape is null is left out and counted. `file` is what errors
/// call it.
MapExpansion read_map_expansion(std::istream& stream, const std::string& file, const MapLabels& labels);
MapExpansion read_map_expansion(const std::filesystem::path& file, const MapLabels& labels);

}  // namespace bevfusion
