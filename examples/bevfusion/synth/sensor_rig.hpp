// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <array>
#include <cmath>
#include <cstdint>

#include "bevfusion/geometry/rigid_transform.hpp"
#include "bevfusion/nuscenes/channel.hpp"

namespace bevfusion {

/// Where a sensor sits and what it sees: figures of the car of nuScenes' scene-0061.
struct SensorFacts {
  std::array<double, 3> translation;  ///< in the ego frame, m
  std::array<double, 4> rotation;     ///< ego from sensor, w x y z
  double focal;                       ///< pixels of 1600 x 900
  double center_x;
  double center_y;
  std::int64_t delay;  ///< us after the LiDAR's time stamp
};

/// In the order of Channel.
inline constexpr std::array<SensorFacts, channel_count> sensor_facts = {{
    {{1.70079, 0.01595, 1.51096}, {0.4998015, -0.5030316, 0.4997798, -0.4973708}, 1266.4172, 816.2670, 491.5071, -35491},
    {{1.55085, -0.49340, 1.49575}, {0.2060348, -0.2026941, 0.6824508, -0.6713611}, 1260.8474, 807.9682, 495.3344, -27612},
    {{1.52388, 0.49463, 1.50933}, {0.6757265, -0.6736267, 0.2121401, -0.2112283}, 1272.5979, 826.6155, 479.7517, -43107},
    {{0.02833, 0.00345, 1.57910}, {0.5037873, -0.4974024, -0.4941850, 0.5045496}, 809.2210, 829.2196, 481.7784, -10426},
    {{1.03569, 0.48479, 1.59097}, {0.6924186, -0.7031620, -0.1164834, 0.1120332}, 1256.7415, 792.1126, 492.7757, -528},
    {{1.01488, -0.48057, 1.56240}, {0.1228098, -0.1324008, -0.7004306, 0.6904960}, 1259.5137, 807.2529, 501.1958, -20058},
    {{0.94371, 0.0, 1.84023}, {0.7077955, -0.0064922, 0.0106462, -0.7063073}, 0, 0, 0, 0},
}};

inline const SensorFacts& facts_of(Channel channel) { return sensor_facts[static_cast<std::size_t>(channel)]; }

inline RigidTransform ego_from_sensor(Channel channel) {
  const SensorFacts& facts = facts_of(channel);
  return {rotation_of(facts.rotation), {facts.translation[0], facts.translation[1], facts.translation[2]}};
}

inline int scaled_width(double scale) { return static_cast<int>(std::lround(1600 * scale)); }
inline int scaled_height(double scale) { return static_cast<int>(std::lround(900 * scale)); }

/// Intrinsic matrix of a camera whose pictures are scaled down from 1600 x 900.
inline Eigen::Matrix3d intrinsic_of(Channel camera, double scale) {
  const SensorFacts& facts = facts_of(camera);
  const double x = scaled_width(scale) / 1600.0;
  const double y = scaled_height(scale) / 900.0;
  Eigen::Matrix3d k;
  k << facts.focal * x, 0, facts.center_x * x, 0, facts.focal * y, facts.center_y * y, 0, 0, 1;
  return k;
}

/// The LiDAR's beams: ring r looks up by this many radians.
inline constexpr int beam_count = 32;
inline double elevation_of(int ring) { return (-30.67 + 4.0 / 3.0 * ring) * pi / 180.0; }

}  // namespace bevfusion
