// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "bevfusion/pictures/image.hpp"

namespace bevfusion {

/// What the layers of a map label hold.
enum class MapShapes {
  areas,       ///< polygons, filled
  lines,       ///< chains of points, drawn with a width
  outline,     ///< polygons of all layers, united; where their union ends is drawn as lines
  long_sides,  ///< polygons; the two longest edges of each one's outer ring are drawn as lines
};

inline bool from_polygons(MapShapes shapes) { return shapes != MapShapes::lines; }
inline bool drawn_as_lines(MapShapes shapes) { return shapes != MapShapes::areas; }

/// A class of map segmentation: the layers of nuScenes' map expansion that it is made of, and what becomes of them.
struct MapLabel {
  std::string name;
  std::vector<std::string> layers;  ///< united. Where one of them is absent, the class is unlabelled, which is not empty.
  Colour colour{};                  ///< in pictures
  MapShapes shapes = MapShapes::areas;
  double line_width = 0;  ///< of lines, cells; 0: what MaskOptions::line_width says
  bool base_map = false;  ///< where there is no map expansion, the base map's drivable area is this class
};

/// Names of what a label is made of.
inline const std::vector<std::string>& made_of(const MapLabel& label) { return label.layers; }

/// Map classes in the order of masks and outputs.
using MapLabels = std::vector<MapLabel>;

/// Position of a class.
/// @throws std::invalid_argument for a name that is not among them
inline std::size_t index_of(const MapLabels& labels, std::string_view name) {
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i].name == name) return i;
  }
  throw std::invalid_argument("no map class is called '" + std::string(name) + "'");
}

}  // namespace bevfusion
