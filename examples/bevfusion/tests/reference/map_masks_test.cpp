// SPDX-License-Identifier: Apache-2.0
// Masks against those that nuScenes' own devkit draws, cell for cell. The expected cells are the devkit's, made by
// map_masks_golden.py (see there for versions, command and what the maps hold), not by the code under test.
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "bevfusion/map/map_masks.hpp"
#include "support/catch.hpp"

using namespace bevfusion;

namespace {

using Json = nlohmann::json;

const std::vector<std::string> areas = {"drivable_area", "ped_crossing", "walkway", "stop_line",
                                        "carpark_area",  "road_segment", "lane"};

bool is_line(const std::string& layer) { return layer == "road_divider" || layer == "lane_divider"; }

MapLabels labels() {
  MapLabels all;
  for (const std::string& layer : areas) all.push_back({layer, {layer}, {}});
  MapLabel divider{"divider", {"road_divider", "lane_divider"}, {}};
  divider.shapes = MapShapes::lines;
  all.push_back(divider);
  return all;
}

// A map expansion with the layers' shapes.
MapExpansion expansion_of(const Json& layers) {
  Json map = {{"version", "1.3"},
              {"canvas_edge", {1000, 1000}},
              {"node", Json::array()},
              {"polygon", Json::array()},
              {"line", Json::array()}};
  int count = 0;
  const auto token = [&count] { return "row " + std::to_string(++count); };
  const auto nodes = [&](const Json& points) {
    Json tokens = Json::array();
    for (const Json& p : points) {
      tokens.push_back(token());
      map["node"].push_back({{"token", tokens.back()}, {"x", p[0]}, {"y", p[1]}});
    }
    return tokens;
  };
  for (const auto& [layer, records] : layers.items()) {
    map[layer] = Json::array();
    for (const Json& record : records) {
      const std::string own = token();
      if (is_line(layer)) {
        map["line"].push_back({{"token", own}, {"node_tokens", nodes(record)}});
        map[layer].push_back({{"token", token()}, {"line_token", own}});
        continue;
      }
      Json holes = Json::array();
      for (std::size_t hole = 1; hole < record.size(); ++hole) holes.push_back({{"node_tokens", nodes(record[hole])}});
      map["polygon"].push_back({{"token", own}, {"exterior_node_tokens", nodes(record[0])}, {"holes", holes}});
      if (layer == "drivable_area") {
        map[layer].push_back({{"token", token()}, {"polygon_tokens", {own}}});
      } else {
        map[layer].push_back({{"token", token()}, {"polygon_token", own}});
      }
    }
  }
  std::istringstream stream(map.dump());
  return read_map_expansion(stream, "golden map", labels());
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

Json golden() {
  std::ifstream file(FULLER_SOURCE_DIR "/examples/bevfusion/tests/reference/map_masks_golden.json");
  REQUIRE(file);
  return Json::parse(file);
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
  for (const Json& map : golden()) {
    const MapExpansion expansion = expansion_of(map["layers"]);
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
  const Json maps = golden();
  CHECK(expansion_of(maps[0]["layers"]).faults.empty());
  const MapExpansion odd = expansion_of(maps[2]["layers"]);
  REQUIRE(odd.faults.count("carpark_area") == 1);
  CHECK(odd.faults.at("carpark_area").no_areas > 0);
  CHECK(odd.faults.at("ped_crossing").no_areas > 0);
  CHECK(odd.faults.count("walkway") == 0);
  CHECK(odd.faults.count("drivable_area") == 0);
}
