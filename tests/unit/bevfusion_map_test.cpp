// SPDX-License-Identifier: Apache-2.0
// Maps and their masks, on shapes whose cells can be counted by hand.
#include <sstream>

#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/map/map_masks.hpp"
#include "bevfusion/map/rasteriser.hpp"
#include "bevfusion/nuscenes/data_error.hpp"
#include "support/bevfusion_data.hpp"
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
  CHECK(count(draw_masks(map, at(100, 50, 0)), "drivable_area") == (40 - 4) * 4);
  // Turned by a quarter the same cells are covered, elsewhere.
  CHECK(count(draw_masks(map, at(100, 50, pi / 2)), "drivable_area") == (40 - 4) * 4);
  // At any angle and offset the area stays the same, to within the border's cells' luck.
  for (const double yaw : {0.3, 1.1, 2.5, -2.0}) {
    CHECK(count(draw_masks(map, at(103.3, 49.1, yaw)), "drivable_area") == Approx(144).margin(8));
  }
  // With the outline the cells along the border count as well: 20 x 8 cells whose border lies on cell borders grow on the far
  // sides.
  MaskOptions outline;
  outline.outline = true;
  CHECK(count(draw_masks(map, at(100, 50, 0), {}, outline), "drivable_area") == 21 * 9 - 16);
  // Outside of the square there is nothing.
  CHECK(count(draw_masks(map, at(165, 50, 0)), "drivable_area") == 0);
}

TEST_CASE("masks are [class, x, y]: x to the right of the car, y ahead", "[map]") {
  const MapExpansion map = read(small_map());
  // The LiDAR at (100, 50), x axis along global x: the area lies at x 0 ... 10, y 0 ... 4 m.
  const MapMasks masks = draw_masks(map, at(100, 50, 0));
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
  const MapMasks masks = draw_masks(map, at(105, 60, 0));
  for (int x = 92; x < 108; ++x) {
    CHECK(masks.at("divider", x, 99));
    CHECK(masks.at("divider", x, 100));
    CHECK_FALSE(masks.at("divider", x, 98));
    CHECK_FALSE(masks.at("divider", x, 101));
  }
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
  const MapMasks masks = draw_masks(map, standard(), at(15, 0.3, 0));
  CHECK(masks.labelled == std::vector<bool>{true, false, false, false, false, false});
  CHECK(count(masks, "drivable_area") == 20);  // cells' centres 0.25 m below: y = 0.05
}
