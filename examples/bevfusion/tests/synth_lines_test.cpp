// SPDX-License-Identifier: Apache-2.0
// The label set hdmapnet_map on synthetic scenes, against the towns as they are known at every point.
#include <algorithm>
#include <array>
#include <cmath>

#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/map/map_masks.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/synth/generate.hpp"
#include "bevfusion/synth/synth_scene.hpp"
#include "bevfusion/tests/support/synthetic_set.hpp"
#include "support/catch.hpp"

using namespace bevfusion;

namespace {

// Whether the drivable area begins or ends within a reach, by points on and in a circle.
bool near_border(const Town& town, const Eigen::Vector2d& place, double reach) {
  const bool here = town.classify(place).is(GroundClass::drivable_area);
  for (const double radius : {0.5 * reach, reach}) {
    for (int k = 0; k < 64; ++k) {
      const Eigen::Vector2d there = place + radius * Eigen::Vector2d(std::cos(2 * pi * k / 64), std::sin(2 * pi * k / 64));
      if (town.classify(there).is(GroundClass::drivable_area) != here) return true;
    }
  }
  return false;
}

// How far the nearest long side of a crossing is, m: where the pavements are joined.
double to_long_side(const Town& town, const Eigen::Vector2d& place) {
  double least = 1e9;
  for (const RoadLayout& layout : town.roads) {
    const RoadPlace p = layout.road.locate(place);
    for (const Ribbon& ribbon : layout.ribbons) {
      if (ribbon.label != GroundClass::ped_crossing) continue;
      const double beside = std::max({0.0, ribbon.d0 - p.d, p.d - ribbon.d1});
      for (const double s : {ribbon.s0, ribbon.s1}) least = std::min(least, std::hypot(p.s - s, beside));
    }
  }
  return least;
}

}  // namespace

TEST_CASE("masks of lines are the borders, dividers and crossings of the town", "[synth]") {
  const SmallSet& set = small();
  MaskOptions by_centres;
  by_centres.rule = "centres";
  const MapGrid grid;
  std::array<std::size_t, 3> cells{};
  for (int s = 0; s < 3; ++s) {
    const SynthScene scene = make_scene(set.options, s);
    const KeyFrame frame = key_frame_of(set.tables, sample_of(set, s, 1));
    const Eigen::Matrix3d bev = bev_from_global(frame.global_from_lidar());
    const std::filesystem::path file = set.options.out / "maps" / "expansion" / (frame.location + ".json");
    const MapMasks masks = draw_masks(read_map_expansion(file, label_sets().map.at("hdmapnet_map")), bev, grid, by_centres);
    const MapMasks standard = draw_masks(read_map_expansion(file, standard_map()), bev, grid, by_centres);
    CHECK(masks.labelled == std::vector<bool>(3, true));
    const Eigen::Matrix3d global_from_bev = bev.inverse();
    for (int x = 0; x < grid.cells; ++x) {
      for (int y = 0; y < grid.cells; ++y) {
        const Eigen::Vector2d at = (global_from_bev * Eigen::Vector3d(grid.center(x), grid.center(y), 1)).head<2>();
        for (std::size_t c = 0; c < cells.size(); ++c) cells[c] += masks.at(c, x, y) ? 1 : 0;
        INFO("scene " << s << ", cell " << x << ' ' << y);
        // Lines are a metre wide. Chains stray by up to 5 cm from arcs.
        const bool border = masks.at("boundary", x, y);
        // Of every seventh cell, for that takes 128 looks at the town.
        if ((x + 3 * y) % 7 == 0 && near_border(scene.town, at, border ? 0.57 : 0.43) != border) FAIL("boundary");
        const bool side = masks.at("crosswalk", x, y);
        const double away = to_long_side(scene.town, at) - 0.5;
        if (std::abs(away) > 0.07 && (away < 0) != side) FAIL("crosswalk");
        if (masks.at("lane_line", x, y) != standard.at("divider", x, y)) FAIL("lane_line");
      }
    }
  }
  for (const std::size_t count : cells) CHECK(count > 500);
}
