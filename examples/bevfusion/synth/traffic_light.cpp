// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/synth/traffic_light.hpp"

#include <array>
#include <cmath>

namespace bevfusion {

namespace {

/// The two stop lines of a junction on one of its roads, of those who drive along it and against it.
struct StopLines {
  double forward = 0;
  double backward = 0;
  double from = 0;  ///< where the junction's box begins and ends
  double to = 0;
};

std::vector<StopLines> stop_lines_of(const RoadLayout& layout) {
  std::vector<StopLines> all;
  for (const Ribbon& ribbon : layout.ribbons) {
    if (ribbon.label != GroundClass::stop_line) continue;
    if (ribbon.front_at_end) {  // the two of a junction come one after the other
      all.push_back({ribbon.s1, 0, 0, 0});
    } else {
      all.back().backward = ribbon.s0;
    }
  }
  for (StopLines& lines : all) {
    lines.from = lines.forward + box_beyond_line;
    lines.to = lines.backward - box_beyond_line;
  }
  return all;
}

std::array<float, 3> lamp_colour(LightState state) {
  return state == LightState::green    ? std::array<float, 3>{.05F, .90F, .30F}
         : state == LightState::yellow ? std::array<float, 3>{.98F, .80F, .05F}
                                       : std::array<float, 3>{.98F, .06F, .05F};
}

}  // namespace

std::vector<TrafficLight> make_lights(const Town& town, Random& random) {
  std::vector<TrafficLight> lights;
  const std::vector<StopLines> on_main = stop_lines_of(town.roads[0]);
  for (std::size_t j = 0; j < town.junctions.size() && j < on_main.size(); ++j) {
    TrafficLight main;
    main.road = town.main();
    main.on_main = true;
    const double of_main = random.uniform(4, 8);
    const double of_cross = random.uniform(4, 8);
    main.cycle = of_main + of_cross + 2 * (main.yellow + 1);
    main.green = of_main;
    main.phase = random.uniform(0, main.cycle);
    TrafficLight cross = main;
    cross.green = of_cross;
    cross.phase = main.phase - (of_main + main.yellow + 1);
    const RoadLayout& crossing = town.roads[town.junctions[j].road];
    cross.road = crossing.road;
    cross.on_main = false;
    const auto add = [&lights](TrafficLight light, const StopLines& lines) {
      light.forward = true;
      light.line = lines.forward;
      light.beyond = lines.to;
      lights.push_back(light);
      light.forward = false;
      light.line = lines.backward;
      light.beyond = lines.from;
      lights.push_back(light);
    };
    add(main, on_main[j]);
    add(cross, stop_lines_of(crossing).at(0));
  }
  return lights;
}

std::vector<Solid> solids_of(const TrafficLight& light, double time) {
  const Road& road = light.road;
  const double way = light.forward ? 1 : -1;
  const double d = light.forward ? road.right_edge() - 0.7 : road.left_edge() + 0.7;
  std::vector<Solid> solids;
  const auto add = [&](double s, double ahead, const Eigen::Vector3d& half, double z, const std::array<float, 3>& colour) {
    Solid solid;
    solid.yaw = road.heading_at(s);
    solid.center << road.at(s + way * ahead, d), z;
    solid.half = half;
    solid.colour = colour;
    solid.reflectivity = 30;
    solid.shows = PixelClass::traffic_light;
    solids.push_back(solid);
  };
  constexpr std::array<float, 3> dark = {.10F, .10F, .10F};
  for (const auto& [s, z] : {std::pair<double, double>{light.line, 1.6}, {light.beyond + way, 2.6}}) {
    add(s, 0, {0.04, 0.40, 0.55}, z, lamp_colour(light.at(time)));
    add(s, 0.12, {0.06, 0.44, 0.60}, z, dark);
    add(s, 0.25, {0.06, 0.06, 0.5 * z}, 0.5 * z, dark);
  }
  return solids;
}

}  // namespace bevfusion
