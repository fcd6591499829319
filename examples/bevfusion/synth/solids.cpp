// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "bevfusion/synth/footprint.hpp"
#include "bevfusion/synth/traffic.hpp"

namespace bevfusion {

namespace {

using C = DetectionClass;

// A part of an object's shape, in shares of its box: from back (-1) to front (1), half its width, from bottom (0) to top (1).
struct Part {
  double back;
  double front;
  double width;
  double bottom;
  double top;
  float shade;  // of the object's colour
};

// Shapes that tell front from back.
std::vector<Part> parts_of(C label, bool moves) {
  switch (label) {
    case C::car:
      return {{-1, 1, 1, 0.12, 0.58, 1}, {-0.85, 0.35, 0.86, 0.58, 1, 0.35F}};
    case C::truck:
    case C::construction_vehicle:
      return {{-1, 0.42, 1, 0.15, 1, 1}, {0.5, 1, 0.92, 0.1, 0.78, 0.6F}, {0.42, 0.5, 0.7, 0.12, 0.4, 0.3F}};
    case C::bus:
    case C::trailer:
      return {{-1, 1, 1, 0.1, 1, 1}};
    case C::motorcycle:
    case C::bicycle:
      if (moves) return {{-1, 1, 0.5, 0, 0.55, 0.5F}, {-0.4, 0.2, 0.9, 0.4, 1, 1}};
      return {{-1, 1, 0.6, 0, 0.7, 0.7F}, {0.3, 0.6, 1, 0.7, 1, 0.5F}};
    case C::pedestrian:
      return {{-0.7, 0.7, 0.9, 0, 0.85, 1}, {-0.35, 0.35, 0.4, 0.85, 1, 0.8F}};
    case C::traffic_cone:
      return {{-1, 1, 1, 0, 0.1, 0.6F}, {-0.65, 0.65, 0.65, 0.1, 0.55, 1}, {-0.35, 0.35, 0.35, 0.55, 1, 1.2F}};
    case C::barrier:
      return {{-1, 1, 1, 0, 1, 1}};
  }
  return {};
}

// Annotators leave room around an object.
constexpr double hand = 0.04;

// Whether a footprint lies on bare terrain.
bool bare(const Town& town, const Footprint& f) {
  const Eigen::Vector2d x(std::cos(f.yaw), std::sin(f.yaw));
  const Eigen::Vector2d y(-x.y(), x.x());
  for (double u = -1; u <= 1; u += 0.25) {
    for (double v = -1; v <= 1; v += 0.5) {
      if (town.classify(f.center + u * f.half_length * x + v * f.half_width * y).classes != 0) return false;
    }
  }
  return true;
}

Solid standing(const Footprint& f, double height, float grey, Random& random) {
  Solid solid;
  solid.center << f.center, 0.5 * height;
  solid.half << f.half_length, f.half_width, 0.5 * height;
  solid.yaw = f.yaw;
  for (float& c : solid.colour) c = grey * static_cast<float>(random.uniform(0.75, 1.25));
  solid.reflectivity = static_cast<float>(random.uniform(8, 40));
  return solid;
}

}  // namespace

std::vector<Solid> make_clutter(const Town& town, Random& random) {
  std::vector<Solid> clutter;
  for (const RoadLayout& layout : town.roads) {
    const Road& road = layout.road;
    for (const double side : {-1.0, 1.0}) {
      const double edge = (side < 0 ? -road.right_edge() : road.left_edge()) + road.walkway;
      for (double s = random.uniform(0, 20); s < road.length;) {  // buildings and fences
        const double length = random.uniform(8, 28);
        const double depth = random.chance(0.3) ? 0.3 : random.uniform(4, 9);
        const double height = depth < 1 ? random.uniform(1.2, 2.2) : random.uniform(3, 9);
        const double d = edge + random.uniform(2, 12) + 0.5 * depth;
        const Footprint f{road.at(s + 0.5 * length, side * d), 0.5 * length, 0.5 * depth, road.heading_at(s + 0.5 * length)};
        if (random.chance(0.75) && bare(town, f)) clutter.push_back(standing(f, height, 0.45F, random));
        s += length + random.uniform(2, 15);
      }
      for (double s = random.uniform(3, 25); s < road.length; s += random.uniform(18, 32)) {  // poles, on the walkway's edge
        const Footprint f{road.at(s, side * (edge + 0.3)), 0.1, 0.1, road.heading_at(s)};
        if (bare(town, f)) clutter.push_back(standing(f, random.uniform(4, 8), 0.35F, random));
      }
      for (double s = random.uniform(3, 15); s < road.length; s += random.uniform(6, 25)) {  // bushes
        const double half = random.uniform(0.4, 1.1);
        const Footprint f{road.at(s, side * (edge + half + random.uniform(0.3, 8))), half, half, random.uniform(-pi, pi)};
        if (!bare(town, f)) continue;
        clutter.push_back(standing(f, random.uniform(0.6, 2.0), 0.3F, random));
        clutter.back().colour = {0.15F, static_cast<float>(random.uniform(0.28, 0.42)), 0.12F};
      }
    }
  }
  return clutter;
}

std::vector<Solid> solids_at(const Traffic& traffic, double time) {
  return solids_at(traffic, time, std::vector<double>(traffic.objects.size(), time));
}

std::vector<Solid> solids_at(const Traffic& traffic, double time, const std::vector<double>& times) {
  std::vector<Solid> solids = traffic.clutter;
  for (const TrafficLight& light : traffic.lights) {
    for (const Solid& solid : solids_of(light, time)) solids.push_back(solid);
  }
  for (std::size_t i = 0; i < traffic.objects.size(); ++i) {
    const TrafficObject& object = traffic.objects[i];
    const GroundPose pose = object.motion.at(times[i]);
    const Eigen::Vector2d front(std::cos(pose.yaw), std::sin(pose.yaw));
    const double half_length = 0.5 * object.size.y() - hand;
    const double half_width = 0.5 * object.size.x() - hand;
    const double height = object.size.z() - hand;
    for (const Part& part : parts_of(object.label, object.motion.speed != 0)) {
      Solid solid;
      solid.center << pose.position + 0.5 * (part.front + part.back) * half_length * front,
          0.5 * (part.top + part.bottom) * height;
      solid.half << 0.5 * (part.front - part.back) * half_length, part.width * half_width,
          0.5 * (part.top - part.bottom) * height;
      solid.yaw = pose.yaw;
      for (std::size_t c = 0; c < 3; ++c) solid.colour[c] = object.colour[c] * part.shade;
      solid.reflectivity = object.reflectivity;
      solid.object = static_cast<int>(i);
      solid.shows = pixel_class_of(object.label);
      solids.push_back(solid);
    }
  }
  return solids;
}

}  // namespace bevfusion
