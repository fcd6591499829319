// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/synth/lidar_sensor.hpp"

#include <algorithm>
#include <cmath>

#include "bevfusion/synth/sensor_rig.hpp"

namespace bevfusion {

namespace {

// A solid as the sensor's origin sees it.
struct Target {
  const Solid* solid;
  Eigen::Vector3d origin;  // of the rays, in the solid's frame
  double cosine;
  double sine;
  double bearing;  // of its middle, global
  double spread;   // half the angle it can take up
};

std::vector<Target> targets_of(const std::vector<Solid>& solids, const Eigen::Vector3d& origin, double range) {
  std::vector<Target> targets;
  for (const Solid& solid : solids) {
    const Eigen::Vector3d to = solid.center - origin;
    const double distance = to.head<2>().norm();
    if (distance - solid.radius() > range) continue;
    Target target{&solid, {}, std::cos(solid.yaw), std::sin(solid.yaw), std::atan2(to.y(), to.x()), pi};
    target.origin = {-target.cosine * to.x() - target.sine * to.y(), target.sine * to.x() - target.cosine * to.y(), -to.z()};
    if (distance > solid.radius())
      target.spread = std::asin(solid.radius() / distance) + 0.05;  // the sensor's tilt is below 0.03 rad
    targets.push_back(target);
  }
  return targets;
}

struct Return {
  double distance = std::numeric_limits<double>::infinity();
  const Solid* solid = nullptr;  // none: ground
  Ground ground;
};

Return ground_along(const Town& town, const Eigen::Vector3d& origin, const Eigen::Vector3d& ray, double curb) {
  Return found;
  if (ray.z() >= -1e-6) return found;
  const auto at = [&](double t) { return town.classify((origin + t * ray).head<2>()); };
  if (curb > 0) {
    // On the walkway's raised top, or else on its edge, the road or the terrain below.
    found.distance = (curb - origin.z()) / ray.z();
    found.ground = at(found.distance);
    if (found.ground.is(GroundClass::walkway)) return found;
  }
  double before = found.distance;
  found.distance = -origin.z() / ray.z();
  found.ground = at(found.distance);
  if (curb > 0 && found.ground.is(GroundClass::walkway)) {
    for (int halving = 0; halving < 8; ++halving) {  // the edge lies between the two
      const double middle = 0.5 * (before + found.distance);
      (at(middle).is(GroundClass::walkway) ? found.distance : before) = middle;
    }
  }
  return found;
}

double intensity_of(const Return& hit, const SynthOptions& options, Random& random) {
  if (hit.solid != nullptr) return std::min(255.0, hit.solid->reflectivity * std::exp(random.normal(0, 0.6)));
  // Real roads: median 13, 5 % below 3 and above 48.
  const double plain = std::min(255.0, 13.0 * std::exp(random.normal(0, 0.8)));
  const double paint = random.uniform(40, 90);
  const double share = hit.ground.surface == Surface::paint ? options.intensity_semantics : 0.0;
  return (1 - share) * plain + share * paint;
}

}  // namespace

std::vector<LidarPoint> scan(const Town& town, const std::vector<Solid>& solids, const RigidTransform& global_from_lidar,
                             const SynthOptions& options, Random& random) {
  const Eigen::Vector3d origin = global_from_lidar.translation;
  const std::vector<Target> targets = targets_of(solids, origin, options.lidar_range);
  std::vector<LidarPoint> points;
  points.reserve(static_cast<std::size_t>(options.azimuths) * beam_count);
  std::vector<const Target*> ahead;
  for (int firing = 0; firing < options.azimuths; ++firing) {
    const double azimuth = pi - 2 * pi * firing / options.azimuths;
    const Eigen::Vector3d level = global_from_lidar.rotation * Eigen::Vector3d(std::cos(azimuth), std::sin(azimuth), 0);
    const double bearing = std::atan2(level.y(), level.x());
    ahead.clear();
    for (const Target& target : targets) {
      if (std::abs(wrap_angle(target.bearing - bearing)) <= target.spread) ahead.push_back(&target);
    }
    for (int ring = 0; ring < beam_count; ++ring) {
      const double elevation = elevation_of(ring);
      const Eigen::Vector3d own(std::cos(elevation) * std::cos(azimuth), std::cos(elevation) * std::sin(azimuth),
                                std::sin(elevation));
      const auto add = [&](double distance, double intensity) {
        points.push_back({static_cast<float>(distance * own.x()), static_cast<float>(distance * own.y()),
                          static_cast<float>(distance * own.z()), static_cast<float>(std::floor(intensity)),
                          static_cast<float>(ring)});
      };
      // The roof and bonnet: returns within 1.5 m, as in 23 % of a real sweep.
      if (options.car_returns && ring < 12 && std::abs(wrap_angle(azimuth + pi / 2)) < 1.9) {
        add(random.uniform(0.4, 1.2), random.uniform(1, 12));
        continue;
      }
      const Eigen::Vector3d ray = global_from_lidar.rotation * own;
      Return nearest = ground_along(town, origin, ray, options.curb);
      for (const Target* target : ahead) {
        const Eigen::Vector3d turned(target->cosine * ray.x() + target->sine * ray.y(),
                                     target->cosine * ray.y() - target->sine * ray.x(), ray.z());
        const Hit hit = enter_box(target->origin, turned, target->solid->half);
        if (hit.distance < nearest.distance) nearest = {hit.distance, target->solid, {}};
      }
      const double distance = nearest.distance + random.normal(0, options.range_noise);
      if (!(distance < options.lidar_range) || distance < 0.1 || random.chance(options.drop_out)) {
        if (options.misses) add(0, 0);
        continue;
      }
      add(distance, intensity_of(nearest, options, random));
    }
  }
  return points;
}

}  // namespace bevfusion
