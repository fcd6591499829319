// SPDX-License-Identifier: Apache-2.0
// Maps and their masks, on shapes whose cells can be counted by hand.
#include <array>
#include <sstream>
#include <stdexcept>

#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/map/area_validity.hpp"
#include "bevfusion/map/map_masks.hpp"
#include "bevfusion/map/rasteriser.hpp"
#include "bevfusion/map/square_clip.hpp"
#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "support/catch.hpp"

using namespace bevfusion;

namespace {

std::string token(int n) {
  std::string text = std::to_string(n);
  return std::string(32 - text.size(), '0') + text;
}

// A map with a drivable area of 10 x 4 m with a hole of 2 x 2 m, a lane divider, and layers that are empty or absent.
std::string small_map() {
  std::ostringstream out;
  const double x[] = {100, 110, 110, 100, 104, 106, 106, 104, 100, 110};
  const double y[] = {50, 50, 54, 54, 51, 51, 53, 53, 60, 60};
  // Shapes come before the nodes they name, as they may.
  out << R"({"version": "1.3", "polygon": [{"token": ")" << token(100) << R"(", "exterior_node_tokens": [)";
  for (int i = 1; i <= 4; ++i) out << (i > 1 ? "," : "") << '"' << token(i) << '"';
  out << R"(], "holes": [{"node_tokens": [)";
  for (int i = 5; i <= 8; ++i) out << (i > 5 ? "," : "") << '"' << token(i) << '"';
  out << R"(]}]}], "line": [{"token": ")" << token(200) << R"(", "node_tokens": [")" << token(9) << "\",\"" << token(10)
      << R"("]}],)";
  out << R"("drivable_area": [{"token": ")" << token(300) << R"(", "polygon_tokens": [")" << token(100) << R"("]}],)";
  out << R"("walkway": [], "road_divider": [], "lane_divider": [{"token": ")" << token(301) << R"(", "line_token": ")"
      << token(200) << R"("}], "node": [)";
  for (int i = 0; i < 10; ++i) {
    out << (i > 0 ? "," : "") << R"({"token": ")" << token(i + 1) << R"(", "x": )" << x[i] << R"(, "y": )" << y[i] << '}';
  }
  out << R"(], "canvas_edge": [200, 100]})";
  return out.str();
}

const MapLabels& standard() { return label_sets().map.at(standard_map_labels); }

MapExpansion read(const std::string& text, const MapLabels& labels = standard()) {
  std::istringstream stream(text);
  return read_map_expansion(stream, "map.json", labels);
}

int count(const MapMasks& masks, std::string_view label) {
  int sum = 0;
  for (int x = 0; x < masks.cells; ++x) {
    for (int y = 0; y < masks.cells; ++y) sum += masks.at(label, x, y) ? 1 : 0;
  }
  return sum;
}

MaskOptions by_centres() {
  MaskOptions options;
  options.rule = "centres";
  return options;
}

// A LiDAR at a place of the map, its x axis along `yaw`.
Eigen::Matrix3d at(double x, double y, double yaw) { return bev_from_global({rotation_about_z(yaw), {x, y, 1.8}}); }

}  // namespace

TEST_CASE("a map expansion's layers, labelled or not", "[map]") {
  const MapExpansion map = read(small_map());
  CHECK(map.canvas_edge == Eigen::Vector2d(200, 100));
  const auto layer = [&](std::string_view label) { return map.shapes[index_of(map.labels, label)]; };
  REQUIRE(layer("drivable_area"));
  REQUIRE(layer("drivable_area")->size() == 1);
  CHECK(layer("drivable_area")->front().chains.size() == 2);  // with its hole
  REQUIRE(layer("walkway"));
  CHECK(layer("walkway")->empty());  // there, and empty
  REQUIRE(layer("divider"));
  CHECK(layer("divider")->size() == 1);
  CHECK_FALSE(layer("ped_crossing"));  // absent: unlabelled
  CHECK_FALSE(layer("stop_line"));

  const MapMasks masks = draw_masks(map, at(105, 52, 0));
  CHECK(masks.labelled == std::vector<bool>{true, false, true, false, false, true});
}

TEST_CASE("half of a divider's layers is no divider", "[map]") {
  std::string text = small_map();
  const std::string gone = "\"road_divider\": [],";
  text.erase(text.find(gone), gone.size());
  CHECK_FALSE(read(text).shapes[index_of(standard(), "divider")]);
}

TEST_CASE("shapes that lead nowhere are errors", "[map]") {
  std::string text = small_map();
  text.replace(text.find(token(8)), 32, token(77));
  CHECK_THROWS_AS(read(text), DataError);
  CHECK_THROWS_AS(read("{\"node\": []}"), DataError);  // no canvas_edge
  CHECK_THROWS_AS(read("[1, 2"), DataError);
}

TEST_CASE("areas are filled by their cells' centres, holes left out", "[map]") {
  const MapExpansion map = read(small_map());
  // 10 x 4 m - 2 x 2 m at 0.25 m^2 a cell, edges on cell borders.
  CHECK(count(draw_masks(map, at(100, 50, 0), {}, by_centres()), "drivable_area") == (40 - 4) * 4);
  // Turned by a quarter the same cells are covered, elsewhere.
  CHECK(count(draw_masks(map, at(100, 50, pi / 2), {}, by_centres()), "drivable_area") == (40 - 4) * 4);
  // At any angle and offset the area stays the same, to within the border's cells' luck.
  for (const double yaw : {0.3, 1.1, 2.5, -2.0}) {
    CHECK(count(draw_masks(map, at(103.3, 49.1, yaw), {}, by_centres()), "drivable_area") == Approx(144).margin(8));
  }
  // With the outline the cells along the border count as well: 20 x 8 cells whose border lies on cell borders grow on the far
  // sides.
  MaskOptions outline = by_centres();
  outline.outline = true;
  CHECK(count(draw_masks(map, at(100, 50, 0), {}, outline), "drivable_area") == 21 * 9 - 16);
  // Outside of the square there is nothing.
  CHECK(count(draw_masks(map, at(165, 50, 0)), "drivable_area") == 0);
}

TEST_CASE("masks are [class, x, y]: x to the right of the car, y ahead", "[map]") {
  const MapExpansion map = read(small_map());
  // The LiDAR at (100, 50), x axis along global x: the area lies at x 0 ... 10, y 0 ... 4 m.
  const MapMasks masks = draw_masks(map, at(100, 50, 0), {}, by_centres());
  const auto cell = [](double metres) { return static_cast<int>(std::floor((metres + 50) / 0.5)); };
  CHECK(masks.at("drivable_area", cell(9.7), cell(0.2)));
  CHECK_FALSE(masks.at("drivable_area", cell(0.2), cell(9.7)));
  CHECK(masks.values[static_cast<std::size_t>(cell(9.7) * 200 + cell(0.2))] == 1);
  // The LiDAR's x axis along global y: what was at (9.7, 0.2) is now at (0.2, -9.7).
  const MapMasks turned = draw_masks(map, at(100, 50, pi / 2));
  CHECK(turned.at("drivable_area", cell(0.2), cell(-9.7)));
  CHECK_FALSE(turned.at("drivable_area", cell(9.7), cell(0.2)));
  // A flip of x as augmentation.
  Eigen::Matrix3d flip = Eigen::Matrix3d::Identity();
  flip(0, 0) = -1;
  const MapMasks flipped = draw_masks(map, bev_from_global({Eigen::Matrix3d::Identity(), {100, 50, 0}}, flip));
  CHECK(flipped.at("drivable_area", cell(-9.7), cell(0.2)));
  CHECK_FALSE(flipped.at("drivable_area", cell(9.7), cell(0.2)));
}

TEST_CASE("dividers are two cells wide", "[map]") {
  const MapExpansion map = read(small_map());
  // 10 m along x at y = 60, on a border between cells: one cell either side, and half a metre beyond each end.
  const MapMasks masks = draw_masks(map, at(105, 60, 0), {}, by_centres());
  for (int x = 92; x < 108; ++x) {
    CHECK(masks.at("divider", x, 99));
    CHECK(masks.at("divider", x, 100));
    CHECK_FALSE(masks.at("divider", x, 98));
    CHECK_FALSE(masks.at("divider", x, 101));
  }
}

TEST_CASE("by the devkit's rule areas have their outline, and lines are a cell wider", "[map]") {
  const MapExpansion map = read(small_map());
  // Corners at whole cells: 21 x 9 cells with both borders, and the hole of 4 x 4 takes 5 x 5 with its own.
  CHECK(count(draw_masks(map, at(100, 50, 0)), "drivable_area") == 21 * 9 - 5 * 5);
  const MapMasks masks = draw_masks(map, at(105, 60, 0));
  for (int x = 90; x <= 110; ++x) {
    CHECK(masks.at("divider", x, 99));
    CHECK(masks.at("divider", x, 100));
    CHECK(masks.at("divider", x, 101));
    CHECK_FALSE(masks.at("divider", x, 98));
    CHECK_FALSE(masks.at("divider", x, 102));
  }
  MaskOptions unknown;
  unknown.rule = "center";
  CHECK_THROWS_AS(draw_masks(map, at(105, 60, 0), {}, unknown), std::invalid_argument);
}

TEST_CASE("holes are taken out, whether they overlap or stick out", "[map]") {
  using Rings = std::vector<std::vector<std::array<double, 2>>>;
  // One walkway of these rings, around a LiDAR at (100, 100).
  const auto cells = [](const Rings& rings, const MaskOptions& options, MapLayerFaults* faults = nullptr) {
    std::ostringstream nodes;
    std::ostringstream exterior;
    std::ostringstream holes;
    int n = 0;
    for (std::size_t r = 0; r < rings.size(); ++r) {
      std::ostringstream& out = r == 0 ? exterior : holes;
      if (r > 0) out << (r > 1 ? "," : "") << R"({"node_tokens": [)";
      for (std::size_t i = 0; i < rings[r].size(); ++i, ++n) {
        nodes << (n > 0 ? "," : "") << R"({"token": "n)" << n << R"(", "x": )" << rings[r][i][0] << R"(, "y": )" << rings[r][i][1]
              << '}';
        out << (i > 0 ? "," : "") << "\"n" << n << '"';
      }
      if (r > 0) out << "]}";
    }
    const MapExpansion map = read(
        R"({"canvas_edge": [200, 200], "node": [)" + nodes.str() + R"(], "polygon": [{"token": "p", "exterior_node_tokens": [)" +
            exterior.str() + R"(], "holes": [)" + holes.str() + R"(]}], "walkway": [{"token": "w", "polygon_token": "p"}]})",
        {{"walkway", {"walkway"}, {}}});
    if (faults != nullptr && map.faults.count("walkway") > 0) *faults = map.faults.at("walkway");
    return count(draw_masks(map, at(100, 100, 0), {}, options), "walkway");
  };
  const auto box = [](double x0, double y0, double x1, double y1) {
    return std::vector<std::array<double, 2>>{{x0, y0}, {x1, y0}, {x1, y1}, {x0, y1}};
  };
  const auto whole = box(70, 70, 130, 130);  // 120 x 120 cells
  CHECK(cells({whole}, by_centres()) == 14400);
  // 20 x 20 m and 20 x 20 m that share 10 x 5 m: 1600 + 1600 - 200 cells.
  MapLayerFaults faults;
  CHECK(cells({whole, box(80, 80, 100, 100), box(90, 95, 110, 115)}, by_centres(), &faults) == 14400 - 3000);
  CHECK(faults.no_areas == 1);
  // 10 x 10 m of a hole that goes on 10 m outside: 400 cells.
  CHECK(cells({whole, box(120, 80, 140, 90)}, by_centres()) == 14400 - 400);
  // The devkit leaves polygons out that are no areas; with a hole of two corners, which is none, it is one.
  CHECK(cells({whole, box(80, 80, 100, 100), box(90, 95, 110, 115)}, {}) == 0);
  CHECK(cells({whole, box(120, 80, 140, 90)}, {}) == 0);
  CHECK(cells({whole, {{80, 80}, {90, 90}}}, {}) == 121 * 121);
  CHECK(cells({whole, box(80, 80, 100, 100)}, {}) == 121 * 121 - 41 * 41);
  // Around the whole square, and with a hole that the square's edge cuts.
  CHECK(cells({box(0, 0, 200, 200)}, by_centres()) == 40000);
  CHECK(cells({box(0, 0, 200, 200)}, {}) == 40000);
  CHECK(cells({box(0, 0, 200, 200), box(40, 90, 60, 110)}, by_centres()) == 40000 - 20 * 40);
}

TEST_CASE("rows without a shape are left out and counted", "[map]") {
  std::string text = small_map();
  const std::string walkways = "\"walkway\": []";
  const auto with = [&](const std::string& rows) {
    std::string changed = text;
    changed.replace(changed.find(walkways), walkways.size(), "\"walkway\": [" + rows + "]");
    return read(changed);
  };
  const std::string good = R"({"token": "a", "polygon_token": ")" + token(100) + "\"}";
  const MapExpansion map = with(good + R"(, {"token": "b", "polygon_token": null}, {"token": "c", "polygon_token": ""})");
  CHECK(map.shapes[index_of(standard(), "walkway")]->size() == 1);
  REQUIRE(map.faults.count("walkway") == 1);
  CHECK(map.faults.at("walkway").without_shape == 2);
  CHECK(map.faults.at("walkway").no_areas == 0);
  CHECK(map.faults.size() == 1);
  // A field that is not there at all is another file than this reads.
  CHECK_THROWS_AS(with(R"({"token": "b", "polygon": null})"), DataError);
  // A drivable area names several.
  std::string several = text;
  const std::string own = "\"polygon_tokens\": [\"" + token(100) + "\"]";
  several.replace(several.find(own), own.size(), "\"polygon_tokens\": null");
  CHECK(read(several).faults.at("drivable_area").without_shape == 1);
}

TEST_CASE("areas are told from what is none", "[map]") {
  const Chain square = {{0, 0}, {10, 0}, {10, 10}, {0, 10}};
  const auto box = [](double x, double y, double w, double h) { return Chain{{x, y}, {x + w, y}, {x + w, y + h}, {x, y + h}}; };
  CHECK(is_valid_area({square}));
  CHECK(is_valid_area({{{0, 0}, {10, 0}, {10, 0}, {10, 10}, {0, 10}, {0, 0}}}));  // points twice, closed
  CHECK(is_valid_area({square, box(2, 2, 2, 2), box(6, 6, 2, 2)}));
  CHECK(is_valid_area({square, box(2, 2, 2, 2), box(4, 4, 2, 2)}));            // holes touch in a corner
  CHECK(is_valid_area({square, {{0, 5}, {3, 4}, {3, 6}}}));                    // a hole touches the border in a point
  CHECK_FALSE(is_valid_area({square, {{0, 5}, {5, 4}, {10, 5}, {5, 6}}}));     // in two: cut in two
  CHECK_FALSE(is_valid_area({square, box(2, 2, 3, 3), box(4, 4, 2, 2)}));      // holes overlap
  CHECK_FALSE(is_valid_area({square, box(2, 2, 6, 6), box(4, 4, 1, 1)}));      // a hole in a hole
  CHECK_FALSE(is_valid_area({square, box(8, 2, 6, 6)}));                       // a hole sticks out
  CHECK_FALSE(is_valid_area({square, box(20, 2, 6, 6)}));                      // a hole outside
  CHECK_FALSE(is_valid_area({square, box(0, 2, 2, 2)}));                       // along the border
  CHECK_FALSE(is_valid_area({{{0, 0}, {10, 10}, {10, 0}, {0, 10}}}));          // a bow tie
  CHECK_FALSE(is_valid_area({{{0, 0}, {10, 0}, {10, 10}, {5, 0}, {0, 10}}}));  // touches itself
  CHECK_FALSE(is_valid_area({{{0, 0}, {10, 0}, {5, 0}, {5, 5}}}));             // runs back on itself
  CHECK_FALSE(is_valid_area({{{0, 0}, {10, 0}}}));
  CHECK_FALSE(is_valid_area({}));
}

TEST_CASE("an area cut by the square's edge falls into pieces", "[map]") {
  // A comb with its back outside: two teeth, no line between them along the edge.
  const Chain comb = {{-5, 1}, {4, 1}, {4, 3}, {-2, 3}, {-2, 6}, {4, 6}, {4, 8}, {-5, 8}};
  const ClippedArea area = clip_area({comb}, 10);
  REQUIRE(area.outlines.size() == 2);
  CHECK(area.holes.empty());
  for (const Chain& outline : area.outlines) CHECK(outline.size() == 4);
  // A hole across the edge becomes part of the outline, one inside stays.
  const ClippedArea hollow = clip_area(
      {{{-5, -5}, {15, -5}, {15, 15}, {-5, 15}}, {{-2, 4}, {2, 4}, {2, 6}, {-2, 6}}, {{5, 5}, {6, 5}, {6, 6}, {5, 6}}}, 10);
  REQUIRE(hollow.outlines.size() == 1);
  CHECK(hollow.outlines[0].size() == 8);
  CHECK(hollow.holes.size() == 1);
  CHECK(clip_area({{{-5, 0}, {0, 5}, {-5, 10}}}, 10).outlines.empty());  // only touches
  const std::vector<Chain> lines = clip_line({{-5, 5}, {5, 5}, {5, 15}, {7, 15}, {7, 5}, {8, 4}}, 10);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0] == Chain{{0, 5}, {5, 5}, {5, 10}});
  CHECK(lines[1] == Chain{{7, 10}, {7, 5}, {8, 4}});
  CHECK(with_own_crossings({{0, 0}, {4, 0}, {4, 2}, {2, 2}, {2, -2}}) ==
        Chain{{0, 0}, {2, 0}, {4, 0}, {4, 2}, {2, 2}, {2, 0}, {2, -2}});
}

TEST_CASE("base maps have row 0 at the largest y", "[map]") {
  BitImage picture(300, 200);                           // 30 x 20 m
  for (int x = 100; x < 200; ++x) picture.set(x, 199);  // the lowest 10 cm, x 10 ... 20 m
  picture.set(5, 0);                                    // top left
  const testing::TemporaryFolder folder;
  write_png_bits(folder.path() / "map.png", picture);
  const BaseMap map = BaseMap::read(folder.path() / "map.png");
  CHECK(map.width() == Approx(30));
  CHECK(map.height() == Approx(20));
  CHECK(map.drivable({15, 0.05}));
  CHECK_FALSE(map.drivable({15, 0.15}));
  CHECK_FALSE(map.drivable({9.95, 0.05}));
  CHECK(map.drivable({0.55, 19.95}));
  CHECK_FALSE(map.drivable({-1, 0.05}));
  CHECK_FALSE(map.drivable({15, 20.5}));
  const MapMasks masks = draw_masks(map, standard(), at(15, 0.3, 0), {}, by_centres());
  CHECK(masks.labelled == std::vector<bool>{true, false, false, false, false, false});
  CHECK(count(masks, "drivable_area") == 20);  // cells' centres 0.25 m below: y = 0.05
  // By the devkit's rule a cell's middle is at whole numbers: with the map 0.25 m higher the same row is hit.
  CHECK(count(draw_masks(map, standard(), at(15, 0.05, 0)), "drivable_area") == 20);
  CHECK(count(draw_masks(map, standard(), at(15, 0.3, 0)), "drivable_area") == 0);
}
