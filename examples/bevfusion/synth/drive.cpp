// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/synth/drive.hpp"

#include <algorithm>
#include <cmath>

#include "bevfusion/geometry/footprint.hpp"

namespace bevfusion {

namespace {

constexpr double behind_start = 25;  // m of route before the car's start
constexpr double after_turn = 70;    // m of the crossing road that a route goes along
// A turn begins before the junction's box and ends well after it: the front, which swings out, has to stay on the road. m
constexpr double turn_begins = 2;
constexpr double turn_ends = 5;

/// From the rear axle to the front of the body.
double front_overhang() {
  const Footprint body = car_footprint(Eigen::Vector2d::Zero(), 0);
  return body.center.x() + body.half_length;
}

void along(Route& route, const Road& road, double from, double to, double d) {
  const int pieces = static_cast<int>(std::ceil(10 * std::abs(to - from)));
  for (int i = 0; i <= pieces; ++i) route.to(road.at(from + (to - from) * i / std::max(1, pieces), d));
}

/// A cubic Bezier curve between two lanes, whose ends point along them.
void curve(Route& route, const Eigen::Vector2d& from, double heading_from, const Eigen::Vector2d& to, double heading_to) {
  const double reach = 0.39 * (to - from).norm();  // of a quarter circle: 4/3 tan(pi/8) radii, its chord being sqrt 2 radii
  const Eigen::Vector2d a = from + reach * Eigen::Vector2d(std::cos(heading_from), std::sin(heading_from));
  const Eigen::Vector2d b = to - reach * Eigen::Vector2d(std::cos(heading_to), std::sin(heading_to));
  for (int i = 1; i <= 400; ++i) {
    const double t = i / 400.0;
    const double r = 1 - t;
    route.to(r * r * r * from + 3 * r * r * t * a + 3 * r * t * t * b + t * t * t * to);
  }
}

/// How fast a car may be now so that it can be as fast as `then` after `way` metres at 1.8 m/s^2.
double speed_before(double then, double way) { return std::sqrt(then * then + 2 * 1.8 * std::max(0.0, way)); }

double allowed_speed(const Drive& drive, double s, double speed, double time) {
  double allowed = drive.cruise;
  for (double ahead = 0; ahead <= 30; ahead += 1) {
    const double bend = std::abs(drive.route.curvature(s + ahead));
    if (bend > 1e-3) allowed = std::min(allowed, speed_before(std::sqrt(2 / bend), ahead));
  }
  for (const Drive::Stop& stop : drive.stops) {
    const double way = stop.s - s;
    if (way < -1 || way > 60) continue;
    const LightState state = stop.light.at(time);
    const bool can_stop = speed * speed / (2 * 3) <= std::max(way, 0.1);
    if (state == LightState::red ? way >= -0.5 || speed < 1 : state == LightState::yellow && can_stop) {
      allowed = std::min(allowed, way < 0.2 ? 0 : speed_before(0, way - 0.2));
    }
  }
  return std::min(allowed, speed_before(0, drive.route.length() - 5 - s));
}

}  // namespace

VehicleState Drive::at(double time) const {
  const double place = (time - begin) / step;
  const double piece = std::clamp(std::floor(place), 0.0, static_cast<double>(states.size() - 2));
  const auto i = static_cast<std::size_t>(piece);
  const double share = std::clamp(place - piece, 0.0, 1.0);
  VehicleState out;
  out.pose.position = (1 - share) * states[i].pose.position + share * states[i + 1].pose.position;
  out.pose.yaw = wrap_angle(states[i].pose.yaw + share * wrap_angle(states[i + 1].pose.yaw - states[i].pose.yaw));
  out.speed = (1 - share) * states[i].speed + share * states[i + 1].speed;
  return out;
}

Controls Drive::controls_at(double time) const {
  const double place = std::clamp(std::floor((time - begin) / step + 1e-9), 0.0, static_cast<double>(states.size() - 2));
  const auto i = static_cast<std::size_t>(place);
  const double acceleration = (states[i + 1].speed - states[i].speed) / step;
  const double s = route.nearest(states[i].pose.position, 0, route.length());
  return controls_for(route.curvature(s), acceleration, states[i].speed);
}

std::optional<Drive::Stop> Drive::light_ahead(double s, double reach) const {
  for (const Stop& stop : stops) {
    if (stop.s + 1.5 >= s && stop.s - s <= reach) return stop;  // passed once its front is well over the line
  }
  return std::nullopt;
}

double driver_acceleration(const Drive& drive, double s, double speed, double time) {
  return std::clamp((allowed_speed(drive, s, speed, time) - speed) / 0.3, -5.0, 1.8);
}

std::shared_ptr<const Drive> plan_drive(const Town& town, double seconds, double cruise, Random& random) {
  auto drive = std::make_shared<Drive>();
  drive->cruise = cruise;
  const Road& main = town.main();
  const double d = -(random.integer(0, main.lanes_right - 1) + 0.5) * main.lane_width;
  const bool left = random.chance(0.4);
  const double slow = random.chance(0.25) ? 0 : random.uniform(0.4, 1);
  drive->lights = make_lights(town, random);

  const Junction* turn = nullptr;
  for (const Junction& junction : town.junctions) {
    const bool ahead = junction.s > main_margin + 15 && junction.s < main_margin + 8 * seconds;
    if (left && ahead && turn == nullptr) turn = &junction;
  }
  // Along the main road to the junction's box, or to where the town ends.
  Route& route = drive->route;
  const double from = main_margin - behind_start;
  double to = main.length - 10;
  const Road* across = turn != nullptr ? &town.roads[turn->road].road : nullptr;
  if (across != nullptr) to = turn->s - across->left_edge() - turn_begins;
  along(route, main, from, to, d);
  if (across != nullptr) {  // its own direction is to the left of the main road's
    const double lane = -0.5 * across->lane_width;
    const double exit = cross_half_length + main.left_edge() + turn_ends;
    curve(route, main.at(to, d), main.heading_at(to), across->at(exit, lane), across->heading_at(exit));
    along(route, *across, exit, exit + after_turn, lane);
  }
  for (const TrafficLight& light : drive->lights) {
    if (!light.on_main || !light.forward || light.line < main_margin || light.line > to) continue;
    const Eigen::Vector2d line = main.at(light.line, d);
    const double s = route.nearest(line, 0, route.length());
    drive->stops.push_back({s - front_overhang() - line_clearance, light});
  }
  std::sort(drive->stops.begin(), drive->stops.end(), [](const auto& a, const auto& b) { return a.s < b.s; });

  // From a second before the scene, so that its first sweeps have poses, to a second after it.
  double s = behind_start;
  double speed = std::min(slow * cruise, allowed_speed(*drive, s, 0, drive->begin));
  s -= speed;
  const int count = static_cast<int>(std::ceil((seconds + 2) / Drive::step)) + 1;
  for (int i = 0; i < count; ++i) {
    const double time = drive->begin + i * Drive::step;
    drive->states.push_back({route.at(s), speed});
    if (time <= 1e-9) drive->start = s;
    if (time <= seconds + 1e-9) drive->end = s;
    const double next = std::max(0.0, speed + Drive::step * driver_acceleration(*drive, s, speed, time));
    s += 0.5 * Drive::step * (speed + next);
    speed = next;
  }
  return drive;
}

}  // namespace bevfusion
