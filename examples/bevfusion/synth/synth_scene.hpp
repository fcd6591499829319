// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bevfusion/geometry/rigid_transform.hpp"
#include "bevfusion/synth/drive.hpp"
#include "bevfusion/synth/synth_options.hpp"
#include "bevfusion/synth/town.hpp"
#include "bevfusion/synth/traffic.hpp"

namespace bevfusion {

/// An object at a time, as it would be annotated; global frame.
struct ObjectState {
  std::size_t object = 0;  ///< index into traffic.objects
  Eigen::Vector3d center = Eigen::Vector3d::Zero();
  Eigen::Vector3d size = Eigen::Vector3d::Ones();  ///< width, length, height
  double yaw = 0;
};

/// A scene, known exactly at all times. Times are seconds after its first key frame.
struct SynthScene {
  int index = 0;
  std::string name;      ///< "synth-0000"; also of its log
  std::string location;  ///< "synthetic-town-0"
  Town town;
  Traffic traffic;
  std::shared_ptr<const Drive> drive;  ///< under SynthOptions::driving
  double gain = 1;                     ///< of its pictures
  std::uint64_t texture = 0;           ///< of its ground
  std::int64_t start = 0;              ///< us, of its first key frame

  static constexpr std::int64_t period = 500'000;  ///< us between key frames
  std::int64_t sample_time(int sample) const { return start + sample * period; }
  double seconds(std::int64_t timestamp) const { return 1e-6 * static_cast<double>(timestamp - start); }

  RigidTransform global_from_ego(double time) const {
    const GroundPose pose = traffic.car.at(time);
    return {rotation_about_z(pose.yaw), {pose.position.x(), pose.position.y(), 0}};
  }

  /// Objects within `range` metres of the car.
  std::vector<ObjectState> objects_at(double time, double range) const;
};

/// The scene of that index; the same for the same seed and options.
SynthScene make_scene(const SynthOptions& options, int index);

}  // namespace bevfusion
