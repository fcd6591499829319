// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fstream>
#include <sstream>
#include <string>

#include <nlohmann/json.hpp>

#include "bevfusion/map/map_expansion.hpp"
#include "support/catch.hpp"

namespace bevfusion {

using Json = nlohmann::json;

/// A file of this folder.
inline Json golden_json(const std::string& name) {
  std::ifstream file(FULLER_SOURCE_DIR "/examples/bevfusion/tests/reference/" + name);
  REQUIRE(file);
  return Json::parse(file);
}

inline bool is_line(const std::string& layer) { return layer == "road_divider" || layer == "lane_divider"; }

/// A map expansion with the layers' shapes.
inline MapExpansion expansion_of(const Json& layers, const MapLabels& labels) {
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
  return read_map_expansion(stream, "golden map", labels);
}

}  // namespace bevfusion
