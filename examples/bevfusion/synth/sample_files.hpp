// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bevfusion/nuscenes/channel.hpp"
#include "bevfusion/synth/synth_scene.hpp"

namespace bevfusion {

/// A file of sensor data, and when it was taken.
struct SensorFile {
  std::string path;  ///< relative to the data set's root
  std::int64_t timestamp = 0;
  bool is_key_frame = true;
};

/// The LiDAR files that end with a sample's key frame, oldest first.
std::vector<SensorFile> lidar_files_of(const SynthScene& scene, int sample, const SynthOptions& options);
SensorFile camera_file_of(const SynthScene& scene, int sample, Channel camera, const SynthOptions& options);

/// What is known of an annotated object only after its sample was seen by the sensors.
struct SeenObject {
  std::size_t object = 0;
  int lidar_points = 0;
  int visibility = 1;
};

/// Takes and writes one sample's sweeps and pictures; tells of the objects within annotation_range. Safe to call from several
/// threads.
std::vector<SeenObject> write_sample_files(const SynthScene& scene, int sample, const SynthOptions& options);

}  // namespace bevfusion
