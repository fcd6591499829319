// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "bevfusion/synth/route.hpp"
#include "bevfusion/synth/traffic_light.hpp"
#include "bevfusion/synth/vehicle.hpp"

namespace bevfusion {

/// Between the front of a standing car and its line, whose paint is 0.4 m wide, m.
inline constexpr double line_clearance = 0.9;

/// A drive along a route that keeps to lights and bends: what the synthetic driver does, and what a network is to learn.
struct Drive {
  /// A light that the route passes.
  struct Stop {
    double s = 0;  ///< along the route, where the rear axle is when the car stands before the line
    TrafficLight light;
  };

  Route route;
  std::vector<TrafficLight> lights;  ///< of the whole town
  std::vector<Stop> stops;           ///< in the route's order
  double start = 0;                  ///< along the route, where the car is at time 0
  double cruise = 7;                 ///< m/s, on a free and straight road
  double begin = -1;                 ///< s, time of the first state
  double end = 0;                    ///< along the route, where the car is at the end of its scene

  static constexpr double step = 0.05;  ///< s between states
  std::vector<VehicleState> states;

  VehicleState at(double time) const;
  /// What the driver does at a time: the controls that lead from this state to the next.
  Controls controls_at(double time) const;
  /// The next light that a car at `s` has not passed, at most `reach` metres ahead; nothing where there is none.
  std::optional<Stop> light_ahead(double s, double reach) const;
};

/// How the driver accelerates at a place along the route: towards `cruise`, slower in bends (at most 2 m/s^2 aside), to a stand
/// before a line whose light is red, or yellow where it can still stop at 3 m/s^2, and at the route's end. m/s^2.
double driver_acceleration(const Drive& drive, double s, double speed, double time);

/// Plans a drive of `seconds` from main_margin on the town's main road, in one of its lanes: straight on or, in two of five towns
/// with a junction ahead, to the left at it.
std::shared_ptr<const Drive> plan_drive(const Town& town, double seconds, double cruise, Random& random);

}  // namespace bevfusion
