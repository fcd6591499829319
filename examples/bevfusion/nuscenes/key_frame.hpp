// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "bevfusion/geometry/box.hpp"
#include "bevfusion/geometry/camera_view.hpp"
#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/nuscenes/lidar_file.hpp"
#include "bevfusion/nuscenes/tables.hpp"
#include "bevfusion/pictures/image.hpp"

namespace bevfusion {

/// A camera picture that goes with a key frame.
struct CameraFrame {
  bool present = false;  ///< false where the sample has none of this camera; nothing else holds then
  std::filesystem::path file;
  std::int64_t timestamp = 0;  ///< us; cameras fire up to 50 ms apart from the LiDAR
  CameraView view;             ///< from LIDAR_TOP at its own time, through both ego poses
};

/// Reads a camera's picture; throws DataError where it is missing, damaged or not of the size that the tables have for it, which
/// its intrinsic matrix goes with.
Image read_picture(const CameraFrame& camera);

/// A LiDAR sweep that goes with a key frame.
struct SweepFrame {
  std::filesystem::path file;
  RigidTransform key_from_sweep;  ///< into LIDAR_TOP at the key frame's time
  double age = 0;                 ///< key frame's time - sweep's, s
};

/// Everything about one sample except the contents of its files. All in the frame of LIDAR_TOP (x right, y forward, z up).
struct KeyFrame {
  Token sample;
  std::string scene;
  std::string location;            ///< names the map expansion
  std::filesystem::path base_map;  ///< empty where the log has none
  std::int64_t timestamp = 0;      ///< of LIDAR_TOP, us
  RigidTransform ego_from_lidar;
  RigidTransform global_from_ego;  ///< at the LiDAR's time
  std::array<CameraFrame, camera_count> cameras;
  std::vector<SweepFrame> sweeps;  ///< the key frame's own first, then ever older ones
  std::vector<Box3D> boxes;        ///< of the ten classes, with or without points

  RigidTransform global_from_lidar() const { return global_from_ego * ego_from_lidar; }
  bool has_lidar() const { return !sweeps.empty(); }
};

struct KeyFrameOptions {
  int sweeps = 1;  ///< LiDAR sweeps at most, the key frame's own included; the first sample of a scene has fewer
  DetectionLabels labels = standard_boxes();  ///< of the boxes
};

/// Collects what the tables say about a sample; opens no file. Throws DataError where the sample has no LIDAR_TOP key frame.
KeyFrame key_frame_of(const Tables& tables, RowIndex sample, const KeyFrameOptions& options = {});

/// A point of several sweeps, as the LiDAR branch takes it.
struct SweepPoint {
  float x = 0;
  float y = 0;
  float z = 0;
  float intensity = 0;
  float age = 0;  ///< s, 0 for the key frame's own
};

struct PointOptions {
  /// Returns with |x| and |y| below this many metres in their own sweep are the car itself and left out of all sweeps but the key
  /// frame's, as BEVFusion does.
  float close = 1.0F;
  bool close_in_key_frame = false;  ///< leave them out of the key frame's sweep as well
  /// Beams that are left of the LiDAR's 32, evenly spread over its angle: of n, ring r is one where (r n + 16) mod 32 < n; of 16
  /// every other one, of 4 rings 4, 12, 20 and 28. 32: all, whatever rings the file names.
  int beams = 32;
};

/// Reads the sweeps and brings their points together; throws DataError where a file is missing or damaged.
std::vector<SweepPoint> read_points(const KeyFrame& frame, const PointOptions& options = {});

/// Adds the returns of one sweep as read_points() does.
/// @param key_frame  it is the key frame's own
void add_sweep(const std::vector<LidarPoint>& own, const SweepFrame& sweep, bool key_frame, const PointOptions& options,
               std::vector<SweepPoint>& points);

/// The samples of the scenes, in the scenes' order and each scene's by time. Throws DataError where a named scene is not there.
std::vector<RowIndex> samples_of_scenes(const Tables& tables, const std::vector<std::string>& scenes);

}  // namespace bevfusion
