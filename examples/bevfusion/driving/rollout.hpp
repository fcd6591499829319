// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bevfusion/driving/controls.hpp"
#include "bevfusion/driving/waypoints.hpp"
#include "bevfusion/synth/world.hpp"

namespace bevfusion {

/// Who drives: what to do from now on, until asked again.
using Driver = std::function<Controls(const World& world)>;

/// The scene's own driver: driver_acceleration(), and steering to a point of the route 2 m and a third of a second's way ahead.
Controls rule_driver(const World& world);

/// Controls that lead along way-points of the car's own frame (x ahead, y to the left; m): to the speed that the first second of
/// them has, within half a second; along the arc to the last that is at least 1 m away (pure pursuit), straight on where none is.
Controls follow(const Waypoints& ahead, double speed);

struct RolloutOptions {
  double period = 0.25;  ///< s between questions to the driver
  double patience = 2;   ///< a route may take so many times what the scene's own driver takes, and 5 s more
  double farthest = 10;  ///< m from the route at which it is given up
};

/// One route driven.
struct Rollout {
  std::string scene;
  double goal = 0;        ///< m
  double completion = 0;  ///< share of the route driven, without what was driven off the road
  double seconds = 0;
  double off_road = 0;  ///< share of the route
  int collisions = 0;
  int red_lights = 0;
  int left_road = 0;  ///< times
  std::string end;    ///< arrived, collision, too late, far from the route
  std::vector<World::Event> events;
  std::vector<Eigen::Vector2d> way;  ///< of the rear axle

  /// completion x 0.6^collisions x 0.7^red lights, of the factors of CARLA's leaderboard for vehicles and lights.
  double score() const;
};

/// Drives a route until it is done, something is hit, the time is up or the route is far away.
/// @param after  called after each period; may be empty
Rollout drive_route(World& world, const Driver& driver, const RolloutOptions& options = {},
                    const std::function<void(const World&)>& after = {});

}  // namespace bevfusion
