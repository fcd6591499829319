// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <array>
#include <cstdint>
#include <vector>

#include "bevfusion/map/base_map.hpp"
#include "bevfusion/map/map_expansion.hpp"
#include "bevfusion/synth/ground_class.hpp"
#include "bevfusion/synth/random.hpp"
#include "bevfusion/synth/road.hpp"
#include "bevfusion/synth/synth_options.hpp"

namespace bevfusion {

/// What the ground looks like; only images see all of it.
enum class Surface : std::uint8_t { terrain, asphalt, walkway, carpark, paint };

/// Its colour in pictures, before light, grain and noise.
std::array<float, 3> colour_of(Surface surface);

/// A point of the ground.
struct Ground {
  std::uint8_t classes = 0;  ///< bit c: the point belongs to class c
  Surface surface = Surface::terrain;

  bool is(GroundClass label) const { return (classes >> static_cast<unsigned>(label) & 1U) != 0; }
};

/// An area along a road: from s0 to s1, from d0 to d1.
struct Ribbon {
  GroundClass label = GroundClass::drivable_area;
  double s0 = 0;
  double s1 = 0;
  double d0 = 0;
  double d1 = 0;
  bool front_at_end = false;  ///< of a stop line: its painted edge is at s1
  bool bare = false;          ///< without paint
};

/// A lane boundary: a line along a road, painted 0.2 m wide.
struct Divider {
  double s0 = 0;
  double s1 = 0;
  double d = 0;
  bool middle = false;  ///< between opposite directions (road_divider, painted through); else lane_divider, dashed
};

struct RoadLayout {
  Road road;
  std::vector<Ribbon> ribbons;
  std::vector<Divider> dividers;
};

/// Where a road is cut by one that crosses it.
struct Junction {
  double s = 0;      ///< on the main road
  std::size_t road;  ///< the one that crosses
};

/// A main road (roads[0]) with the roads that cross it and what lies along them; known exactly at every point.
struct Town {
  std::vector<RoadLayout> roads;
  std::vector<Junction> junctions;
  Eigen::Vector2d canvas_edge = Eigen::Vector2d::Zero();  ///< the town lies in 0 ... canvas_edge, m

  /// Makes a crossing without paint of what lies within `reach` metres of a place on one of the town's roads.
  void mark_crossing(const Road& road, double s, double d, double reach);

  const Road& main() const { return roads[0].road; }
  /// What is at a point: six class bits and the surface. A divider is where a line is within `half_divider` metres.
  Ground classify(const Eigen::Vector2d& global, double half_divider = 0.5) const;
};

/// Half the length of a road that crosses the main one, m.
inline constexpr double cross_half_length = 90;
/// How far from a junction's box the painted edge of a stop line is, m.
inline constexpr double box_beyond_line = 4.8;
/// How far the main road goes on before the car's start and after its end, m.
inline constexpr double main_margin = 110;

/// A town with room for a drive of `travel` metres from s = main_margin on.
Town make_town(double travel, const SynthOptions& options, Random& random);

/// The town as a map expansion holds it: areas as polygons, arcs as chains that keep within 0.05 m.
struct TownShapes {
  struct Layer {
    std::string name;
    std::vector<Chain> chains;
  };
  /// Those of the masks, and lanes. A map expansion's road segments are the polygons of its drivable area.
  std::vector<Layer> layers;
};
TownShapes shapes_of(const Town& town);

/// Drivable area at 0.1 m a pixel, row 0 at the largest y.
BitImage base_map_of(const Town& town);

}  // namespace bevfusion
