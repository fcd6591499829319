// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "bevfusion/map/rasteriser.hpp"
#include "bevfusion/synth/town.hpp"

namespace bevfusion {

namespace {

// A chain along a road at offset d; chords of an arc of radius r and step h stray by h^2 / (8 r).
void follow(const Road& road, double s0, double s1, double d, Chain& chain) {
  const double radius = road.curvature == 0 ? 0 : std::abs(1.0 / road.curvature) + std::abs(d);
  const double step = road.curvature == 0 ? 1e9 : std::sqrt(8.0 * 0.03 * radius) * std::abs(1.0 / road.curvature) / radius;
  const int steps = std::max(1, static_cast<int>(std::ceil(std::abs(s1 - s0) / step)));
  for (int i = 0; i <= steps; ++i) chain.push_back(road.at(s0 + (s1 - s0) * i / steps, d));
}

Chain outline_of(const Road& road, const Ribbon& r) {
  Chain chain;
  follow(road, r.s0, r.s1, r.d0, chain);
  follow(road, r.s1, r.s0, r.d1, chain);
  return chain;
}

}  // namespace

TownShapes shapes_of(const Town& town) {
  TownShapes shapes;
  for (const GroundClass label : {GroundClass::drivable_area, GroundClass::ped_crossing, GroundClass::walkway,
                                  GroundClass::stop_line, GroundClass::carpark_area}) {
    TownShapes::Layer layer{std::string(name_of(label)), {}};
    for (const RoadLayout& layout : town.roads) {
      for (const Ribbon& ribbon : layout.ribbons) {
        if (ribbon.label == label) layer.chains.push_back(outline_of(layout.road, ribbon));
      }
    }
    shapes.layers.push_back(std::move(layer));
  }
  for (const bool middle : {true, false}) {
    TownShapes::Layer layer{middle ? "road_divider" : "lane_divider", {}};
    for (const RoadLayout& layout : town.roads) {
      for (const Divider& divider : layout.dividers) {
        if (divider.middle != middle) continue;
        layer.chains.emplace_back();
        follow(layout.road, divider.s0, divider.s1, divider.d, layer.chains.back());
      }
    }
    shapes.layers.push_back(std::move(layer));
  }
  TownShapes::Layer lanes{"lane", {}};
  for (const RoadLayout& layout : town.roads) {
    const Road& road = layout.road;
    for (const Divider& divider : layout.dividers) {
      if (!divider.middle) continue;
      for (int lane = -road.lanes_right; lane < road.lanes_left; ++lane) {
        const double d0 = lane * road.lane_width;
        lanes.chains.push_back(outline_of(road, {GroundClass::drivable_area, divider.s0, divider.s1, d0, d0 + road.lane_width}));
      }
    }
  }
  shapes.layers.push_back(std::move(lanes));
  return shapes;
}

BitImage base_map_of(const Town& town) {
  BitImage image(static_cast<int>(std::lround(town.canvas_edge.x() * 10)),
                 static_cast<int>(std::lround(town.canvas_edge.y() * 10)));
  for (const RoadLayout& layout : town.roads) {
    for (const Ribbon& ribbon : layout.ribbons) {
      if (ribbon.label != GroundClass::drivable_area) continue;
      std::vector<Chain> rings = {outline_of(layout.road, ribbon)};
      for (Eigen::Vector2d& p : rings[0]) p = Eigen::Vector2d(10 * (town.canvas_edge.y() - p.y()), 10 * p.x());
      fill_rings(rings, image.height, image.width, [&](int row, int first, int last) {
        for (int column = first; column < last; ++column) image.set(column, row);
      });
    }
  }
  return image;
}

}  // namespace bevfusion
