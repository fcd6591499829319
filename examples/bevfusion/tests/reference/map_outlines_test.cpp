// SPDX-License-Identifier: Apache-2.0
// The label set hdmapnet_map against GEOS's unions and the masks of HDMapNet's tools, made by map_outlines_golden.py (see there
// for versions, command and what the masks are), not by the code under test.
#include <map>
#include <string>
#include <vector>

#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/map/map_masks.hpp"
#include "bevfusion/tests/reference/golden_maps.hpp"
#include "support/catch.hpp"

using namespace bevfusion;

namespace {

// The set's labels, and a boundary of layers that have holes, overlap and cross themselves.
MapLabels labels() {
  MapLabels all = label_sets().map.at("hdmapnet_map");
  all.push_back({"areas", {"walkway", "lane", "ped_crossing"}, {}});
  all.back().shapes = MapShapes::outline;
  return all;
}

std::vector<int> cells_of(const Json& runs) {
  std::vector<int> cells;
  for (std::size_t i = 0; i + 1 < runs.size(); i += 2) {
    cells.insert(cells.end(), runs[i + 1].get<std::size_t>(), runs[i].get<int>());
  }
  return cells;
}

// Calls each(class, expected cells, own cells) for all masks of a kind, of which the grid's middle half along x has the cells.
template <typename Each>
void each_mask(const char* kind, const MapGrid& grid, const MaskOptions& options, Each&& each) {
  const Json maps = golden_json("map_masks_golden.json");
  const Json expected = golden_json("map_outlines_golden.json");
  REQUIRE(maps.size() == expected.size());
  for (std::size_t m = 0; m < maps.size(); ++m) {
    const MapExpansion expansion = expansion_of(maps[m]["layers"], labels());
    for (std::size_t p = 0; p < maps[m]["poses"].size(); ++p) {
      if (!expected[m][p].contains(kind)) continue;
      const Json& pose = maps[m]["poses"][p];
      const RigidTransform lidar{rotation_about_z(pose["yaw"]), {pose["x"], pose["y"], 1.8}};
      const MapMasks own = draw_masks(expansion, bev_from_global(lidar), grid, options);
      for (const auto& [name, runs] : expected[m][p][kind].items()) {
        const std::vector<int> cells = cells_of(runs);
        const std::size_t plane = 2 * cells.size();
        REQUIRE(own.values.size() == plane * own.labels.size());
        const auto first = own.values.begin() + static_cast<std::ptrdiff_t>(index_of(own.labels, name) * plane + plane / 4);
        INFO(name << " of map " << m << ", pose " << p);
        each(name, cells, std::vector<int>(first, first + static_cast<std::ptrdiff_t>(cells.size())));
      }
    }
  }
}

}  // namespace

TEST_CASE("lines cover the cells that GEOS says are near the union's border", "[map][reference]") {
  MaskOptions options;
  options.rule = "centres";
  std::map<std::string, std::size_t> covered;
  std::size_t unsettled = 0;
  each_mask("near", {30, 120}, options, [&](const std::string& name, const std::vector<int>& geos, const std::vector<int>& own) {
    std::size_t differing = 0;
    for (std::size_t cell = 0; cell < geos.size(); ++cell) {
      if (geos[cell] == 2) {
        ++unsettled;
      } else {
        differing += geos[cell] != own[cell] ? 1 : 0;
        covered[name] += geos[cell] == 1 ? 1 : 0;
      }
    }
    CHECK(differing == 0);
  });
  for (const MapLabel& label : labels()) CHECK(covered[label.name] > 900);  // there is something to compare
  CHECK(unsettled < 1500);                                                  // of 345,600
}

TEST_CASE("masks of the label set are like those of HDMapNet's tools", "[map][reference]") {
  // By the rule devkit and by the other, in cells of 0.15 m and 5 cells wide, as there: what data.md quotes.
  for (const std::string rule : {"devkit", "centres"}) {
    MaskOptions options;
    options.rule = rule;
    options.line_width = 5;
    std::map<std::string, std::size_t> both;
    std::map<std::string, std::size_t> either;
    each_mask("tool", {30, 400}, options,
              [&](const std::string& name, const std::vector<int>& tool, const std::vector<int>& own) {
                for (std::size_t cell = 0; cell < tool.size(); ++cell) {
                  both[name] += tool[cell] != 0 && own[cell] != 0 ? 1 : 0;
                  either[name] += tool[cell] != 0 || own[cell] != 0 ? 1 : 0;
                }
              });
    for (const MapLabel& label : label_sets().map.at("hdmapnet_map")) {
      const double iou = static_cast<double>(both[label.name]) / static_cast<double>(either[label.name]);
      INFO(rule << ", " << label.name << ": " << iou);
      CHECK(iou > (rule == "devkit" ? 0.90 : 0.69));
      CHECK(iou < (rule == "devkit" ? 0.93 : 0.73));
    }
  }
}
