// SPDX-License-Identifier: Apache-2.0
// Masks against those that nuScenes' own devkit draws, cell for cell. The expected cells are the devkit's, made by
// map_masks_golden.py (see there for versions, command and what the maps hold), not by the code under test.
#include <string>
#include <vector>

#include "bevfusion/map/map_masks.hpp"
#include "bevfusion/tests/reference/golden_maps.hpp"
#include "support/catch.hpp"

using namespace bevfusion;

namespace {

const std::vector<std::string> areas = {"drivable_area", "ped_crossing", "walkway", "stop_line",
                                        "carpark_area",  "road_segment", "lane"};

MapLabels labels() {
  MapLabels all;
  for (const std::string& layer : areas) all.push_back({layer, {layer}, {}});
  MapLabel divider{"divider", {"road_divider", "lane_divider"}, {}};
  divider.shapes = MapShapes::lines;
  all.push_back(divider);
  return all;
}

std::vector<std::uint8_t> cells_of(const Json& runs) {
  std::vector<std::uint8_t> cells;
  std::uint8_t value = 0;
  for (const Json& run : runs) {
    cells.insert(cells.end(), run.get<std::size_t>(), value);
    value = static_cast<std::uint8_t>(1 - value);
  }
  return cells;
}

struct Overlap {
  std::size_t differing = 0;
  std::size_t both = 0;
  std::size_t either = 0;
};

// Own masks by a rule against the stored ones, by label over all maps and poses.
std::vector<Overlap> compare(const char* rule) {
  const MapLabels all = labels();
  std::vector<Overlap> sums(all.size());
  MaskOptions options;
  options.rule = rule;
  for (const Json& map : golden_json("map_masks_golden.json")) {
    const MapExpansion expansion = expansion_of(map["layers"], all);
    for (const Json& pose : map["poses"]) {
      const RigidTransform lidar{rotation_about_z(pose["yaw"]), {pose["x"], pose["y"], 1.8}};
      const MapMasks own = draw_masks(expansion, bev_from_global(lidar), {}, options);
      const std::size_t count = static_cast<std::size_t>(own.cells) * static_cast<std::size_t>(own.cells);
      for (std::size_t label = 0; label < all.size(); ++label) {
        const std::vector<std::uint8_t> devkit = cells_of(pose["masks"][all[label].name]);
        REQUIRE(devkit.size() == count);
        for (std::size_t cell = 0; cell < count; ++cell) {
          const bool a = devkit[cell] != 0;
          const bool b = own.values[label * count + cell] != 0;
          sums[label].differing += a != b ? 1 : 0;
          sums[label].both += a && b ? 1 : 0;
          sums[label].either += a || b ? 1 : 0;
        }
      }
    }
  }
  return sums;
}

}  // namespace

TEST_CASE("masks by the rule devkit are the devkit's, cell for cell", "[map][reference]") {
  const std::vector<Overlap> sums = compare("devkit");
  const MapLabels all = labels();
  for (std::size_t label = 0; label < all.size(); ++label) {
    INFO(all[label].name);
    CHECK(sums[label].differing == 0);
    CHECK(sums[label].both > 500);  // there is something to compare
  }
}

TEST_CASE("masks by the rule centres are not", "[map][reference]") {
  // What data.md says of a network that had learnt these masks without fault and were judged by the devkit's.
  const std::vector<Overlap> sums = compare("centres");
  const std::size_t divider = areas.size();
  CHECK(static_cast<double>(sums[divider].both) / static_cast<double>(sums[divider].either) < 0.75);
  CHECK(static_cast<double>(sums[0].both) / static_cast<double>(sums[0].either) < 0.97);
}

TEST_CASE("polygons that are no areas are counted and left out as the devkit leaves them out", "[map][reference]") {
  const Json maps = golden_json("map_masks_golden.json");
  CHECK(expansion_of(maps[0]["layers"], labels()).faults.empty());
  const MapExpansion odd = expansion_of(maps[2]["layers"], labels());
  REQUIRE(odd.faults.count("carpark_area") == 1);
  CHECK(odd.faults.at("carpark_area").no_areas > 0);
  CHECK(odd.faults.at("ped_crossing").no_areas > 0);
  CHECK(odd.faults.count("walkway") == 0);
  CHECK(odd.faults.count("drivable_area") == 0);
}
