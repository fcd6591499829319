// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/synth/world.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

namespace bevfusion {

namespace {

Footprint body_of(const VehicleState& car) { return car_footprint(car.pose.position, car.pose.yaw); }

bool leaves_road(const Town& town, const Footprint& body) {
  const auto places = places_of(body);
  return std::any_of(places.begin(), places.end(),
                     [&town](const Eigen::Vector2d& place) { return !town.classify(place).is(GroundClass::drivable_area); });
}

/// An object with the ground that it is about to cover.
Footprint with_way_ahead(Footprint object, double ahead) {
  object.center += 0.5 * ahead * Eigen::Vector2d(std::cos(object.yaw), std::sin(object.yaw));
  object.half_length += 0.5 * ahead;
  object.half_width += 0.3;
  return object;
}

}  // namespace

Footprint footprint_of(const TrafficObject& object, double clock) {
  const GroundPose pose = object.motion.at(clock);
  return {pose.position, 0.5 * object.size.y(), 0.5 * object.size.x(), pose.yaw};
}

World::World(SynthScene scene, const SynthOptions& options) : scene_(std::move(scene)), options_(options) {
  if (!scene_.drive) {
    throw std::invalid_argument("a world to drive in needs a scene with a drive (SynthOptions::driving)");
  }
  for (int i = -20; i <= 0; ++i) {
    const double time = i * Drive::step;
    past_.push_back({time, scene_.drive->at(time), std::vector<double>(scene_.traffic.objects.size(), time)});
  }
  s_ = scene_.drive->start;
}

World::Moment World::at(double time) const {
  const double place = (time - past_.front().time) / Drive::step;
  const double piece = std::clamp(std::floor(place), 0.0, static_cast<double>(past_.size() - 2));
  const Moment& from = past_[static_cast<std::size_t>(piece)];
  const Moment& to = past_[static_cast<std::size_t>(piece) + 1];
  const double share = std::clamp(place - piece, 0.0, 1.0);
  Moment out;
  out.time = time;
  out.car.pose.position = from.car.pose.position + share * (to.car.pose.position - from.car.pose.position);
  out.car.pose.yaw = wrap_angle(from.car.pose.yaw + share * wrap_angle(to.car.pose.yaw - from.car.pose.yaw));
  out.car.speed = from.car.speed + share * (to.car.speed - from.car.speed);
  for (std::size_t i = 0; i < from.clocks.size(); ++i) {
    out.clocks.push_back(from.clocks[i] + share * (to.clocks[i] - from.clocks[i]));
  }
  return out;
}

double World::speed() const {
  const double apart = 1e-6 * static_cast<double>(SynthScene::period) / (options_.sweeps + 1);
  const double ago = apart * std::max(1.0, std::floor(0.3 / apart + 1e-9));
  const Eigen::Vector2d way = car().pose.position - at(time() - ago).car.pose.position;
  return way.dot(Eigen::Vector2d(std::cos(car().pose.yaw), std::sin(car().pose.yaw))) / ago;
}

double World::away_from_route() const { return (scene_.drive->route.at(s_).position - car().pose.position).norm(); }

void World::advance(const Controls& controls, double seconds) {
  const int steps = static_cast<int>(std::lround(seconds / Drive::step));
  for (int i = 0; i < std::max(1, steps); ++i) step(controls);
}

bool World::meets_anything(const Footprint& body, const std::vector<double>& clocks) const {
  for (std::size_t i = 0; i < clocks.size(); ++i) {
    if (overlap(body, footprint_of(scene_.traffic.objects[i], clocks[i]))) return true;
  }
  return std::any_of(scene_.traffic.clutter.begin(), scene_.traffic.clutter.end(), [&body](const Solid& solid) {
    return overlap(body, {solid.center.head<2>(), solid.half.x(), solid.half.y(), solid.yaw});
  });
}

void World::step(const Controls& controls) {
  Moment next = past_.back();
  next.time += Drive::step;
  bevfusion::advance(next.car, controls, Drive::step);
  const Footprint body = body_of(next.car);
  for (std::size_t i = 0; i < next.clocks.size(); ++i) {
    const TrafficObject& object = scene_.traffic.objects[i];
    const bool waits = object.motion.speed != 0 && overlap(body, with_way_ahead(footprint_of(object, next.clocks[i]), waiting));
    next.clocks[i] += waits ? 0 : Drive::step;
  }
  const Drive& drive = *scene_.drive;
  const double before = s_;
  s_ = drive.route.nearest(next.car.pose.position, before, std::min(drive.route.length(), before + 5));
  const auto tell = [&](Infraction what) { events_.push_back({what, next.time, next.car.pose.position}); };

  const bool touching = meets_anything(body, next.clocks);
  if (touching && !touching_) tell(Infraction::collision);
  touching_ = touching;
  const bool off = leaves_road(scene_.town, body);
  if (off && !off_) tell(Infraction::off_road);
  off_ = off;
  metres_off_ += off ? s_ - before : 0;
  for (const Drive::Stop& stop : drive.stops) {
    const double line = stop.s + line_clearance;  // where the rear axle is when the front is at the line
    if (before < line && s_ >= line && stop.light.at(next.time) == LightState::red) tell(Infraction::red_light);
  }
  past_.push_back(std::move(next));
}

}  // namespace bevfusion
