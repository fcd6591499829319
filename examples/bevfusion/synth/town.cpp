// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/synth/town.hpp"

#include <algorithm>
#include <cmath>

namespace bevfusion {

namespace {

double remainder_of(double value, double period) { return value - period * std::floor(value / period); }

// Stretches of 0 ... length outside the gaps, which are sorted.
struct Stretch {
  double from;
  double to;
};
std::vector<Stretch> between(const std::vector<Stretch>& gaps, double length) {
  std::vector<Stretch> rest;
  double from = 0;
  for (const Stretch& gap : gaps) {
    if (gap.from > from) rest.push_back({from, gap.from});
    from = std::max(from, gap.to);
  }
  if (length > from) rest.push_back({from, length});
  return rest;
}

// A road's areas and lines, where `gaps` are its junction boxes.
RoadLayout lay_out(const Road& road, const std::vector<Stretch>& gaps, Random& random) {
  RoadLayout layout;
  layout.road = road;
  const double right = road.right_edge();
  const double left = road.left_edge();
  std::vector<Ribbon>& ribbons = layout.ribbons;
  ribbons.push_back({GroundClass::drivable_area, 0, road.length, right, left});
  for (const Stretch& stretch : between(gaps, road.length)) {
    ribbons.push_back({GroundClass::walkway, stretch.from, stretch.to, right - road.walkway, right});
    ribbons.push_back({GroundClass::walkway, stretch.from, stretch.to, left, left + road.walkway});
  }
  for (const Stretch& gap : gaps) {
    if (random.chance(0.85)) ribbons.push_back({GroundClass::ped_crossing, gap.from - 4.0, gap.from - 0.5, right, left});
    if (random.chance(0.85)) ribbons.push_back({GroundClass::ped_crossing, gap.to + 0.5, gap.to + 4.0, right, left});
    ribbons.push_back({GroundClass::stop_line, gap.from - 6.0, gap.from - box_beyond_line, right, 0, true});
    ribbons.push_back({GroundClass::stop_line, gap.to + box_beyond_line, gap.to + 6.0, 0, left, false});
  }
  std::vector<Stretch> unlined;
  for (const Stretch& gap : gaps) unlined.push_back({gap.from - 6.0, gap.to + 6.0});
  for (const Stretch& stretch : between(unlined, road.length)) {
    layout.dividers.push_back({stretch.from, stretch.to, 0, true});
    for (int lane = 1; lane < road.lanes_right; ++lane)
      layout.dividers.push_back({stretch.from, stretch.to, -lane * road.lane_width});
    for (int lane = 1; lane < road.lanes_left; ++lane)
      layout.dividers.push_back({stretch.from, stretch.to, lane * road.lane_width});
  }
  return layout;
}

void add_carparks(RoadLayout& layout, const std::vector<Stretch>& gaps, Random& random) {
  const Road& road = layout.road;
  for (const Stretch& stretch : between(gaps, road.length)) {
    for (double s = stretch.from + random.uniform(6, 60); s < stretch.to; s += random.uniform(40, 110)) {
      const double length = random.uniform(8, 18);
      const double depth = random.uniform(4, 8);
      if (s + length > stretch.to - 5) break;
      const bool on_right = random.chance(0.5);
      const double near = on_right ? road.right_edge() - road.walkway : road.left_edge() + road.walkway;
      layout.ribbons.push_back(
          {GroundClass::carpark_area, s, s + length, on_right ? near - depth : near, on_right ? near : near + depth});
    }
  }
}

// Moves the town so that its smallest coordinates are a margin above 0.
void place_on_canvas(Town& town) {
  Eigen::Vector2d low = Eigen::Vector2d::Constant(1e9);
  Eigen::Vector2d high = -low;
  for (const RoadLayout& layout : town.roads) {
    const Road& road = layout.road;
    for (int i = 0; i <= 64; ++i) {
      for (const double d : {road.right_edge() - 15, road.left_edge() + 15}) {
        const Eigen::Vector2d p = road.at(road.length * i / 64, d);
        low = low.cwiseMin(p);
        high = high.cwiseMax(p);
      }
    }
  }
  const Eigen::Vector2d shift = Eigen::Vector2d::Constant(5) - low;
  for (RoadLayout& layout : town.roads) layout.road.start += shift;
  // Whole pixels of the base map.
  town.canvas_edge = ((high - low).array() + 10).ceil();
}

}  // namespace

std::array<float, 3> colour_of(Surface surface) {
  switch (surface) {
    case Surface::terrain:
      return {.28F, .36F, .20F};
    case Surface::asphalt:
      return {.30F, .30F, .30F};
    case Surface::walkway:
      return {.55F, .50F, .45F};
    case Surface::carpark:
      return {.33F, .33F, .42F};
    case Surface::paint:
      return {.86F, .86F, .84F};
  }
  return {};
}

Town make_town(double travel, const SynthOptions& options, Random& random) {
  Town town;
  Road main;
  main.length = travel + 2 * main_margin;
  main.heading = random.uniform(-pi, pi);
  if (random.chance(0.5)) main.curvature = (random.chance(0.5) ? 1 : -1) / random.uniform(150, 600);
  main.lane_width = random.uniform(3.0, 3.7);
  main.lanes_right = random.integer(1, 2);
  main.lanes_left = random.integer(1, 2);
  main.walkway = random.uniform(1.8, 3.5);

  // Junctions: one near the start, others along the way, at least 50 m apart.
  std::vector<double> crossings;
  if (options.driving) {  // ahead of the car, so that there is something to keep to
    if (random.chance(0.85)) crossings.push_back(main_margin + 15 + random.unit() * options.junction_reach);
  } else if (random.chance(0.6)) {
    crossings.push_back(main_margin + random.uniform(-1, 1) * options.junction_reach);
  }
  for (double s = random.uniform(20, 60); s < main.length - 20; s += random.uniform(60, 130)) {
    const bool free =
        std::all_of(crossings.begin(), crossings.end(), [&](double other) { return std::abs(other - s) > 50; }) &&
        std::abs(s - main_margin) > options.junction_reach;  // the first alone decides how often a start has a junction near
    if (free && random.chance(0.6)) crossings.push_back(s);
  }
  std::sort(crossings.begin(), crossings.end());

  std::vector<Road> across;
  std::vector<Stretch> gaps;
  for (const double s : crossings) {
    Road road;
    road.length = 2 * cross_half_length;
    road.heading = main.heading_at(s) + pi / 2;
    road.start = main.at(s, 0) - cross_half_length * Eigen::Vector2d(std::cos(road.heading), std::sin(road.heading));
    road.lane_width = random.uniform(3.0, 3.7);
    road.lanes_right = 1;
    road.lanes_left = random.integer(1, 2);
    road.walkway = random.uniform(1.8, 3.5);
    // The crossing road's left is the main road's backward direction.
    gaps.push_back({s - road.left_edge(), s - road.right_edge()});
    across.push_back(road);
  }
  town.roads.push_back(lay_out(main, gaps, random));
  add_carparks(town.roads[0], gaps, random);
  const std::vector<Stretch> box = {{cross_half_length + main.right_edge(), cross_half_length + main.left_edge()}};
  for (std::size_t i = 0; i < across.size(); ++i) {
    town.roads.push_back(lay_out(across[i], box, random));
    town.junctions.push_back({crossings[i], i + 1});
  }
  place_on_canvas(town);
  return town;
}

void Town::mark_crossing(const Road& road, double s, double d, double reach) {
  for (RoadLayout& layout : roads) {
    if (layout.road.start != road.start || layout.road.heading != road.heading) continue;
    Ribbon ribbon{GroundClass::ped_crossing, std::max(0.0, s - reach), std::min(road.length, s + reach), d - reach, d + reach};
    ribbon.bare = true;
    layout.ribbons.push_back(ribbon);
    return;
  }
}

Ground Town::classify(const Eigen::Vector2d& global, double half_divider) const {
  Ground ground;
  bool painted = false;
  const auto add = [&](GroundClass label) {
    ground.classes = static_cast<std::uint8_t>(ground.classes | 1U << static_cast<unsigned>(label));
  };
  for (const RoadLayout& layout : roads) {
    const Road& road = layout.road;
    const RoadPlace p = road.locate(global);
    if (p.s < 0 || p.s > road.length || p.d < road.right_edge() - 12 || p.d > road.left_edge() + 12) continue;
    for (const Ribbon& r : layout.ribbons) {
      if (p.s < r.s0 || p.s > r.s1 || p.d < r.d0 || p.d > r.d1) continue;
      add(r.label);
      if (r.bare) continue;
      if (r.label == GroundClass::ped_crossing) {
        painted = painted || remainder_of(p.d, 1.2) < 0.6;
      } else if (r.label == GroundClass::stop_line) {
        painted = painted || (r.front_at_end ? r.s1 - p.s : p.s - r.s0) < 0.4;
      } else if (r.label == GroundClass::carpark_area) {
        painted = painted || remainder_of(p.s - r.s0, 2.6) < 0.12;
      }
    }
    for (const Divider& divider : layout.dividers) {
      if (p.s < divider.s0 || p.s > divider.s1) continue;
      const double away = std::abs(p.d - divider.d);
      if (away <= half_divider) add(GroundClass::divider);
      painted = painted || (away <= 0.1 && (divider.middle || remainder_of(p.s, 6.0) < 3.0));
    }
  }
  if (painted) {
    ground.surface = Surface::paint;
  } else if (ground.is(GroundClass::drivable_area)) {
    ground.surface = Surface::asphalt;
  } else if (ground.is(GroundClass::walkway)) {
    ground.surface = Surface::walkway;
  } else if (ground.is(GroundClass::carpark_area)) {
    ground.surface = Surface::carpark;
  }
  return ground;
}

}  // namespace bevfusion
