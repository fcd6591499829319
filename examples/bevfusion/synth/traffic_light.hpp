// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <string_view>
#include <vector>

#include "bevfusion/synth/random.hpp"
#include "bevfusion/synth/solid.hpp"
#include "bevfusion/synth/town.hpp"

namespace bevfusion {

enum class LightState { green, yellow, red };

inline std::string_view name_of(LightState state) {
  return state == LightState::green ? "green" : state == LightState::yellow ? "yellow" : "red";
}

/// The light of one way into a junction: a lamp beside the stop line and one across the junction, both to the right of the road.
struct TrafficLight {
  Road road;
  bool on_main = false;  ///< the road is the town's main one
  bool forward = true;   ///< it is for those who drive along the road, else against it
  double line = 0;       ///< where the painted edge of its stop line is along the road, m
  double beyond = 0;     ///< where the junction's box ends for them
  double green = 5;      ///< s
  double yellow = 1.5;
  double cycle = 15;
  double phase = 0;  ///< how long it has been green at time 0

  LightState at(double time) const {
    const double since = time + phase - cycle * std::floor((time + phase) / cycle);
    return since < green ? LightState::green : since < green + yellow ? LightState::yellow : LightState::red;
  }
};

/// Lights of every way into every junction of a town: those of the main road and of the crossing road by turns, with a second in
/// between in which all are red.
std::vector<TrafficLight> make_lights(const Town& town, Random& random);

/// Its lamps and poles at a time; the lamps' colour faces those whom it is for.
std::vector<Solid> solids_of(const TrafficLight& light, double time);

}  // namespace bevfusion
