// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/driving/rollout.hpp"

#include <Eigen/Geometry>
#include <algorithm>
#include <cmath>

namespace bevfusion {

namespace {

/// Of the arc that begins along x and leads to a place.
double curvature_to(const Eigen::Vector2d& place) { return 2 * place.y() / std::max(place.squaredNorm(), 1e-6); }

}  // namespace

Controls rule_driver(const World& world) {
  const VehicleState& car = world.car();
  const Drive& drive = *world.scene().drive;
  const double s = world.place_on_route();
  const Eigen::Vector2d target = drive.route.at(s + 2 + car.speed / 3).position - car.pose.position;
  const Eigen::Vector2d ahead = Eigen::Rotation2Dd(-car.pose.yaw) * target;
  return controls_for(curvature_to(ahead), driver_acceleration(drive, s, car.speed, world.time()), car.speed);
}

Controls follow(const Waypoints& ahead, double speed) {
  const double way = ahead[0].norm() + (ahead[1] - ahead[0]).norm();
  const double wanted = way / waypoint_times[1];
  double curvature = 0;
  for (const Eigen::Vector2d& place : ahead) {
    if (place.norm() >= 1) curvature = curvature_to(place);
  }
  return controls_for(curvature, std::clamp((wanted - speed) / 0.5, -5.0, 2.0), speed);
}

double Rollout::score() const { return completion * std::pow(0.6, collisions) * std::pow(0.7, red_lights); }

Rollout drive_route(World& world, const Driver& driver, const RolloutOptions& options,
                    const std::function<void(const World&)>& after) {
  Rollout out;
  out.scene = world.scene().name;
  out.goal = world.goal();
  const double scene_seconds = 0.5 * (world.options().samples - 1);
  const double latest = world.time() + options.patience * scene_seconds + 5;
  out.way.push_back(world.car().pose.position);
  while (out.end.empty()) {
    world.advance(driver(world), options.period);
    out.way.push_back(world.car().pose.position);
    if (after) after(world);
    const bool hit = std::any_of(world.events().begin(), world.events().end(),
                                 [](const World::Event& event) { return event.what == Infraction::collision; });
    if (hit) {
      out.end = "collision";
    } else if (world.progress() >= out.goal - 0.5) {
      out.end = "arrived";
    } else if (world.away_from_route() > options.farthest) {
      out.end = "far from the route";
    } else if (world.time() >= latest) {
      out.end = "too late";
    }
  }
  const double length = std::max(out.goal, 1e-9);
  out.off_road = std::clamp(world.metres_off_road() / length, 0.0, 1.0);
  out.completion = std::clamp((world.progress() + (out.end == "arrived" ? 0.5 : 0.0)) / length, 0.0, 1.0) - out.off_road;
  out.completion = std::max(0.0, out.completion);
  out.seconds = world.time();
  out.events = world.events();
  const auto count = [&out](Infraction what) {
    return static_cast<int>(
        std::count_if(out.events.begin(), out.events.end(), [what](const World::Event& event) { return event.what == what; }));
  };
  out.collisions = count(Infraction::collision);
  out.red_lights = count(Infraction::red_light);
  out.left_road = count(Infraction::off_road);
  return out;
}

}  // namespace bevfusion
