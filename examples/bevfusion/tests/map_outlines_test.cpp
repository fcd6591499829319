// SPDX-License-Identifier: Apache-2.0
// Where the union of areas ends, on shapes whose outline is known, and the masks of the label set that is made of it.
#include <algorithm>
#include <array>
#include <cmath>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/map/area_outline.hpp"
#include "bevfusion/map/map_masks.hpp"
#include "support/catch.hpp"

using namespace bevfusion;

namespace {

using Point = Eigen::Vector2d;
using Areas = std::vector<std::vector<Chain>>;

Chain box(double x0, double y0, double x1, double y1) { return {{x0, y0}, {x1, y0}, {x1, y1}, {x0, y1}}; }

double length_of(const std::vector<Chain>& chains) {
  double sum = 0;
  for (const Chain& chain : chains) {
    for (std::size_t i = 1; i < chain.size(); ++i) sum += (chain[i] - chain[i - 1]).norm();
  }
  return sum;
}

double distance(const Point& p, const Point& a, const Point& b) {
  const Point along = b - a;
  const double t = std::clamp((p - a).dot(along) / along.squaredNorm(), 0.0, 1.0);
  return (p - a - t * along).norm();
}

double distance(const Point& p, const std::vector<Chain>& chains) {
  double least = 1e9;
  for (const Chain& chain : chains) {
    for (std::size_t i = 1; i < chain.size(); ++i) least = std::min(least, distance(p, chain[i - 1], chain[i]));
  }
  return least;
}

// Whether both say the same of every place: the outline that is expected, and the one that is computed.
void same(const std::vector<Chain>& outline, const std::vector<Chain>& expected) {
  CHECK(length_of(outline) == Approx(length_of(expected)).epsilon(1e-9));
  for (const std::vector<Chain>* from : {&outline, &expected}) {
    const std::vector<Chain>& to = from == &outline ? expected : outline;
    double farthest = 0;
    for (const Chain& chain : *from) {
      for (std::size_t i = 1; i < chain.size(); ++i) {
        for (const double t : {0.0, 0.3, 0.5, 0.9, 1.0})
          farthest = std::max(farthest, distance(chain[i - 1] + t * (chain[i] - chain[i - 1]), to));
      }
    }
    CHECK(farthest < 1e-9);
  }
}

// A map of these road segments and lanes, a crossing and a divider.
MapExpansion map_of(const Areas& segments, const Areas& lanes, const Chain& crossing = box(500, 500, 510, 503)) {
  std::ostringstream nodes;
  std::ostringstream polygons;
  std::ostringstream rows[2];
  int n = 0;
  const auto ring = [&](const Chain& chain) {
    std::ostringstream out;
    for (const Point& p : chain) {
      nodes << (n > 0 ? "," : "") << R"({"token":"n)" << n << R"(","x":)" << p.x() << R"(,"y":)" << p.y() << '}';
      out << (&p == chain.data() ? "" : ",") << "\"n" << n++ << '"';
    }
    return out.str();
  };
  const auto polygon = [&](const std::string& token, const std::vector<Chain>& rings) {
    polygons << (polygons.str().empty() ? "" : ",") << R"({"token":")" << token << R"(","exterior_node_tokens":[)"
             << ring(rings[0]) << R"(],"holes":[)";
    for (std::size_t h = 1; h < rings.size(); ++h)
      polygons << (h > 1 ? "," : "") << R"({"node_tokens":[)" << ring(rings[h]) << "]}";
    polygons << "]}";
  };
  nodes.precision(17);
  for (const std::size_t layer : {0U, 1U}) {
    const Areas& areas = layer == 0 ? segments : lanes;
    for (std::size_t k = 0; k < areas.size(); ++k) {
      const std::string token = (layer == 0 ? "s" : "l") + std::to_string(k);
      polygon(token, areas[k]);
      rows[layer] << (k > 0 ? "," : "") << R"({"token":"r)" << token << R"(","polygon_token":")" << token << "\"}";
    }
  }
  polygon("crossing", {crossing});
  const std::string divider = ring({{480, 500}, {520, 500}});
  std::istringstream stream(R"({"canvas_edge":[1000,1000],"node":[)" + nodes.str() + R"(],"polygon":[)" + polygons.str() +
                            R"(],"line":[{"token":"d","node_tokens":[)" + divider + R"(]}],"road_segment":[)" + rows[0].str() +
                            R"(],"lane":[)" + rows[1].str() +
                            R"(],"ped_crossing":[{"token":"c","polygon_token":"crossing"}],"road_divider":[],)" +
                            R"("lane_divider":[{"token":"ld","line_token":"d"}]})");
  return read_map_expansion(stream, "map.json", label_sets().map.at("hdmapnet_map"));
}

// The LiDAR at a place of the map, its x axis along `yaw`.
Eigen::Matrix3d at(double x, double y, double yaw) { return bev_from_global({rotation_about_z(yaw), {x, y, 1.8}}); }

MaskOptions by_centres() {
  MaskOptions options;
  options.rule = "centres";
  return options;
}

std::size_t count(const MapMasks& masks, std::string_view label) {
  const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(masks.cells) * masks.cells;
  const auto first = masks.values.begin() + static_cast<std::ptrdiff_t>(index_of(masks.labels, label)) * plane;
  return static_cast<std::size_t>(std::count(first, first + plane, 1));
}

// 30 m to each side.
const MapGrid patch{30, 120};

}  // namespace

TEST_CASE("areas that overlap have one outline, without an edge inside", "[map]") {
  const Areas areas = {{box(0, 0, 10, 4)}, {box(8, -3, 12, 9)}};
  const std::vector<Chain> expected = {{{8, 4}, {0, 4}, {0, 0}, {8, 0}, {8, -3}, {12, -3}, {12, 9}, {8, 9}, {8, 4}}};
  same(outline_of_union(areas), expected);
  // Whichever way the rings run, and wherever they begin.
  Areas turned = areas;
  std::reverse(turned[0][0].begin(), turned[0][0].end());
  std::rotate(turned[1][0].begin(), turned[1][0].begin() + 2, turned[1][0].end());
  same(outline_of_union(turned), expected);
  // A cross: each is cut in the middle.
  same(outline_of_union({{box(0, 4, 10, 6)}, {box(4, 0, 6, 10)}}),
       {{{4, 4}, {0, 4}, {0, 6}, {4, 6}, {4, 10}, {6, 10}, {6, 6}, {10, 6}, {10, 4}, {6, 4}, {6, 0}, {4, 0}, {4, 4}}});
  CHECK(outline_of_union({}).empty());
}

TEST_CASE("an edge that areas share is no border", "[map]") {
  // Lanes side by side, the second shorter and with a corner in the middle of the first one's edge.
  same(outline_of_union({{box(0, 0, 20, 3)}, {box(5, 3, 15, 6)}}),
       {{{5, 3}, {0, 3}, {0, 0}, {20, 0}, {20, 3}, {15, 3}, {15, 6}, {5, 6}, {5, 3}}});
  // One after the other.
  same(outline_of_union({{box(0, 0, 5, 3)}, {box(5, 0, 9, 3)}, {box(9, 0, 10, 3)}}),
       {{{0, 0}, {10, 0}, {10, 3}, {0, 3}, {0, 0}}});
  // A gap of half a millimetre, or an overlap of it, is none; one of a centimetre is.
  for (const double off : {5e-4, -5e-4}) {
    CHECK(length_of(outline_of_union({{box(0, 0, 10, 3)}, {box(0, 3 + off, 10, 6)}})) == Approx(32).margin(0.005));
  }
  CHECK(length_of(outline_of_union({{box(0, 0, 10, 3)}, {box(0, 3.01, 10, 6)}})) == Approx(26 + 25.98));
  // What is inside another is nothing; what is there twice has its outline twice.
  CHECK(length_of(outline_of_union({{box(0, 0, 10, 10)}, {box(2, 2, 8, 8)}})) == Approx(40));
  CHECK(length_of(outline_of_union({{box(0, 0, 10, 10)}, {box(0, 0, 10, 10)}})) == Approx(80));
  // At any angle.
  for (const double yaw : {0.1, 0.7, 2.1, -1.3}) {
    const Eigen::Rotation2Dd turn(yaw);
    Areas lanes = {{box(0, 0, 20, 3)}, {box(5, 3, 15, 6)}, {box(0, -3, 40, 0)}};
    for (std::vector<Chain>& rings : lanes) {
      for (Point& p : rings[0]) p = turn * p + Point(1234.5, 987.6);
    }
    CHECK(length_of(outline_of_union(lanes)) == Approx(40 + 3 + 20 + 3 + 5 + 3 + 10 + 3 + 5 + 6).margin(1e-6));
  }
}

TEST_CASE("a hole has a border, unless another area covers it", "[map]") {
  const std::vector<Chain> yard = {box(0, 0, 20, 20), box(5, 5, 10, 10)};
  same(outline_of_union({yard}), {{{0, 0}, {20, 0}, {20, 20}, {0, 20}, {0, 0}}, {{5, 5}, {10, 5}, {10, 10}, {5, 10}, {5, 5}}});
  CHECK(length_of(outline_of_union({yard, {box(4, 4, 11, 11)}})) == Approx(80));
  // Half of it: 5 x 2.5 m are left.
  CHECK(length_of(outline_of_union({yard, {box(4, 4, 11, 7.5)}})) == Approx(80 + 15));
  // An island in it.
  CHECK(length_of(outline_of_union({yard, {box(6, 6, 8, 8)}})) == Approx(80 + 20 + 8));
}

TEST_CASE("chains of an outline are short enough to tell what is far away", "[map]") {
  Chain circle;
  for (int i = 0; i < 1000; ++i) circle.push_back({100 * std::cos(2 * pi * i / 1000), 100 * std::sin(2 * pi * i / 1000)});
  const std::vector<Chain> outline = outline_of_union({{circle}});
  CHECK(length_of(outline) == Approx(2000 * 100 * std::sin(pi / 1000)));
  CHECK(outline.size() == 32);  // 31 of 32 edges and one of 8
  for (const Chain& chain : outline) CHECK(chain.size() <= 33);
}

TEST_CASE("a crossing's long sides are its two longest edges", "[map]") {
  CHECK(two_longest_edges(box(0, 0, 14, 3.5)) == std::vector<Chain>{{{0, 0}, {14, 0}}, {{14, 3.5}, {0, 3.5}}});
  // The last edge closes the ring. Of equal ones the first.
  CHECK(two_longest_edges({{0, 0}, {0, 3}, {9, 3}, {9, 0}}) == std::vector<Chain>{{{0, 3}, {9, 3}}, {{9, 0}, {0, 0}}});
  CHECK(two_longest_edges(box(0, 0, 2, 2)) == std::vector<Chain>{{{0, 0}, {2, 0}}, {{2, 0}, {2, 2}}});
}

TEST_CASE("masks of the label set: where roads end, dividers, long sides of crossings", "[map]") {
  // A road along x from 470 to 530, y 494 ... 506, of two segments that meet at 500, its lanes, and a road that crosses it.
  const Areas segments = {{box(470, 494, 500, 506)}, {box(500, 494, 530, 506)}, {box(510, 470, 520, 530)}};
  const MapExpansion map = map_of(segments, {{box(470, 494, 530, 500)}, {box(470, 500, 530, 506)}}, box(503, 494, 507, 506));
  CHECK(map.faults.empty());
  const std::vector<Chain> expected = {{{510, 506},
                                        {470, 506},
                                        {470, 494},
                                        {510, 494},
                                        {510, 470},
                                        {520, 470},
                                        {520, 494},
                                        {530, 494},
                                        {530, 506},
                                        {520, 506},
                                        {520, 530},
                                        {510, 530},
                                        {510, 506}}};
  std::vector<Chain> outline;
  for (const MapShape& shape : *map.shapes[0]) outline.insert(outline.end(), shape.chains.begin(), shape.chains.end());
  for (const Chain& chain : outline) {
    for (const Point& p : chain) CHECK(distance(p, expected) < 1e-9);
  }
  // From several places, in several directions: the cells whose centre is within half a metre of the lines, and no others.
  const std::vector<Chain> sides = {{{503, 494}, {503, 506}}, {{507, 494}, {507, 506}}};
  const std::vector<Chain> divider = {{{480, 500}, {520, 500}}};
  for (const auto& [x, y, yaw] :
       {std::array{500.0, 500.0, 0.0}, {497.3, 502.1, -pi / 2}, {512.7, 495.4, 0.83}, {525.2, 508.6, 2.9}}) {
    const Eigen::Matrix3d bev = at(x, y, yaw);
    const MapMasks masks = draw_masks(map, bev, patch, by_centres());
    REQUIRE(masks.cells == 120);
    CHECK(masks.labelled == std::vector<bool>{true, true, true});
    const Eigen::Matrix3d global = bev.inverse();
    std::size_t differing = 0;
    for (int i = 0; i < masks.cells; ++i) {
      for (int j = 0; j < masks.cells; ++j) {
        const Point place = (global * Eigen::Vector3d(-30 + (i + 0.5) * 0.5, -30 + (j + 0.5) * 0.5, 1)).head<2>();
        for (const auto& [label, lines] : {std::pair("boundary", &expected), {"lane_line", &divider}, {"crosswalk", &sides}}) {
          const double away = distance(place, *lines) - 0.5;
          if (std::abs(away) > 1e-9) differing += masks.at(label, i, j) != (away < 0) ? 1 : 0;
        }
      }
    }
    CHECK(differing == 0);
    for (const MapLabel& label : masks.labels) CHECK(count(masks, label.name) > 0);
  }
}

TEST_CASE("an area that goes on beyond the patch has no border at the patch's edge", "[map]") {
  // Wider than the patch in all directions: nothing. With a hole about the LiDAR: its border alone, 8 x 4 m in cells of 0.5 m,
  // two cells wide, corners rounded.
  CHECK(count(draw_masks(map_of({{box(300, 300, 700, 700)}}, {}), at(500, 500, 0.4), patch, by_centres()), "boundary") == 0);
  CHECK(count(draw_masks(map_of({{box(300, 300, 700, 700)}}, {}), at(500, 500, 0.4), patch), "boundary") == 0);
  const MapExpansion hole = map_of({{box(300, 300, 700, 700), box(496, 498, 504, 502)}}, {});
  CHECK(count(draw_masks(hole, at(500, 500, 0), patch, by_centres()), "boundary") == 2 * 2 * (16 + 8));
  // A road along the car's way, wider than the patch to one side: the one border that is seen, to both ends of the patch.
  const MapExpansion road = map_of({{box(497, 300, 560, 700)}}, {});
  for (const MaskOptions& options : {by_centres(), MaskOptions{}}) {
    const MapMasks masks = draw_masks(road, at(500, 500, 0), patch, options);
    const int first = 53;  // x = -3 m lies between cells 53 and 54
    const int last = options.rule == "centres" ? 54 : 55;
    for (int j = 0; j < masks.cells; ++j) {
      for (int i = 0; i < masks.cells; ++i) CHECK(masks.at("boundary", i, j) == (first <= i && i <= last));
    }
  }
  // A border on the patch's very edge is in it.
  CHECK(count(draw_masks(map_of({{box(470, 300, 600, 700)}}, {}), at(500, 500, 0), patch, by_centres()), "boundary") == 120);
}

TEST_CASE("polygons that are no areas are left out of the union and counted", "[map]") {
  const Chain bow_tie = {{490, 490}, {510, 510}, {510, 490}, {490, 510}};
  const MapExpansion map = map_of({{bow_tie}, {box(495, 480, 505, 520)}}, {});
  REQUIRE(map.faults.count("road_segment") == 1);
  CHECK(map.faults.at("road_segment").no_areas == 1);
  std::vector<Chain> outline;
  for (const MapShape& shape : *map.shapes[0]) outline.insert(outline.end(), shape.chains.begin(), shape.chains.end());
  CHECK(length_of(outline) == Approx(100));
}

TEST_CASE("a class is unlabelled where one of its layers is not there", "[map]") {
  std::istringstream stream(
      R"({"canvas_edge":[10,10],"node":[],"polygon":[],"line":[],"road_segment":[],"ped_crossing":[],"road_divider":[],"lane_divider":[]})");
  const MapExpansion map = read_map_expansion(stream, "map.json", label_sets().map.at("hdmapnet_map"));
  CHECK(draw_masks(map, at(5, 5, 0), patch).labelled == std::vector<bool>{false, true, true});
}
