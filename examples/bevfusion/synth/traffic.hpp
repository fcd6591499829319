// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <vector>

#include "bevfusion/nuscenes/detection_class.hpp"
#include "bevfusion/synth/motion.hpp"
#include "bevfusion/synth/solid.hpp"
#include "bevfusion/synth/town.hpp"
#include "bevfusion/synth/traffic_light.hpp"

namespace bevfusion {

/// Something of the ten classes.
struct TrafficObject {
  DetectionClass label = DetectionClass::car;
  Eigen::Vector3d size = Eigen::Vector3d::Ones();  ///< width, length, height of its box, m
  Motion motion;
  std::array<float, 3> colour{};
  float reflectivity = 20;
  bool decoy = false;  ///< looks like one, and is none
};

/// Who is on the road, and what stands beside it.
struct Traffic {
  Motion car;  ///< the one with the sensors
  std::vector<TrafficObject> objects;
  std::vector<Solid> clutter;  ///< buildings, poles and bushes, which nobody annotates
  std::vector<TrafficLight> lights;
};

/// Mean width, length and height of a class, m.
Eigen::Vector3d mean_size_of(DetectionClass label);

/// How the car drives through a town: along the main road from main_margin on, or (3 of 10) slowly at any angle to it. `speed` in
/// m/s.
Motion make_drive(const Town& town, double speed, bool at_any_angle, Random& random);

/// Fills a town for `seconds` of driving. Nothing overlaps, or comes within 3.5 m of the car, at any quarter of a second.
Traffic make_traffic(const Town& town, const Motion& car, double seconds, const SynthOptions& options, Random& random);

/// What rays meet at a time: the parts of every object, a hand's breadth inside its box, the clutter and the lights.
std::vector<Solid> solids_at(const Traffic& traffic, double time);
/// The same where each object is where its motion has it at a time of its own.
/// @param times  by object
std::vector<Solid> solids_at(const Traffic& traffic, double time, const std::vector<double>& times);

}  // namespace bevfusion
