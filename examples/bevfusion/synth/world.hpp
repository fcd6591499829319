// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "bevfusion/geometry/footprint.hpp"
#include "bevfusion/synth/synth_scene.hpp"
#include "bevfusion/synth/vehicle.hpp"

namespace bevfusion {

/// What a driver may do wrong.
enum class Infraction { collision, off_road, red_light };

inline const char* name_of(Infraction what) {
  return what == Infraction::collision ? "collision" : what == Infraction::off_road ? "off_road" : "red_light";
}

/// A synthetic scene in which the car goes where it is steered, in steps of Drive::step.
///
/// Everybody else moves as in the scene, but waits for the car: who would meet its body within `waiting` metres ahead stands
/// still until it is gone, and goes on from there. So whoever is hit was hit by the car.
class World {
 public:
  static constexpr double waiting = 6;  ///< m

  /// A moment of the past or now.
  struct Moment {
    double time = 0;
    VehicleState car;
    std::vector<double> clocks;  ///< of each object: the time at which its motion has it where it is
  };
  struct Event {
    Infraction what = Infraction::collision;
    double time = 0;
    Eigen::Vector2d place = Eigen::Vector2d::Zero();  ///< of the car's rear axle
  };

  /// @param scene    one with a drive (SynthOptions::driving)
  /// @throws std::invalid_argument for one without
  World(SynthScene scene, const SynthOptions& options);

  const SynthScene& scene() const { return scene_; }
  const SynthOptions& options() const { return options_; }
  const VehicleState& car() const { return past_.back().car; }
  double time() const { return past_.back().time; }
  /// The world as it was, in proportion between steps; the last second before the scene is known as well.
  Moment at(double time) const;
  /// How fast the car went since the earliest LiDAR sweep of the last 0.3 s, or the sweep before where they are farther apart,
  /// along its heading now: what speed_at() finds in files.
  double speed() const;

  /// Metres along the route since its start, and its place on it.
  double progress() const { return s_ - scene_.drive->start; }
  double place_on_route() const { return s_; }
  /// Metres from the start to where the scene's own driver is at the scene's end.
  double goal() const { return scene_.drive->end - scene_.drive->start; }
  /// Metres between the car and its route.
  double away_from_route() const;

  /// Goes on under the same controls.
  void advance(const Controls& controls, double seconds);

  /// Everything that was done wrong: each time that something is met, the road is left, or a red light passed.
  const std::vector<Event>& events() const { return events_; }
  /// Metres of the route that the car was off the road.
  double metres_off_road() const { return metres_off_; }

 private:
  void step(const Controls& controls);
  bool meets_anything(const Footprint& body, const std::vector<double>& clocks) const;

  SynthScene scene_;
  SynthOptions options_;
  std::vector<Moment> past_;
  double s_ = 0;
  bool touching_ = false;
  bool off_ = false;
  double metres_off_ = 0;
  std::vector<Event> events_;
};

/// What the car's body would meet and leave, of the world's own objects: where each stands.
Footprint footprint_of(const TrafficObject& object, double clock);

}  // namespace bevfusion
