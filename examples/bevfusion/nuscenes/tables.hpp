// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <istream>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "bevfusion/geometry/rigid_transform.hpp"
#include "bevfusion/nuscenes/channel.hpp"
#include "bevfusion/nuscenes/detection_class.hpp"
#include "bevfusion/nuscenes/token.hpp"

namespace bevfusion {

/// Index of a row in its table; -1 for none. The JSON's tokens are resolved once, while reading.
using RowIndex = std::int32_t;

struct SceneRow {
  Token token;
  std::string name;
  RowIndex log = -1;
  RowIndex first_sample = -1;
  RowIndex last_sample = -1;
};

struct LogRow {
  Token token;
  std::string location;  ///< names the map expansion
  std::string base_map;  ///< file of the base map, relative to the root; empty where there is none
};

struct SampleRow {
  Token token;
  std::int64_t timestamp = 0;  ///< us
  RowIndex scene = -1;
  RowIndex previous = -1;
  RowIndex next = -1;
  std::array<RowIndex, channel_count> data = {-1, -1, -1, -1, -1, -1, -1};  ///< key frame of each sensor in sample_data
  RowIndex first_annotation = 0;                                            ///< annotations of a sample lie one after the other
  RowIndex annotation_count = 0;

  RowIndex key(Channel channel) const { return data[static_cast<std::size_t>(channel)]; }
};

struct SampleDataRow {
  Token token;
  std::string file;            ///< relative to the root
  std::int64_t timestamp = 0;  ///< us
  RowIndex sample = -1;
  RowIndex ego_pose = -1;
  RowIndex calibration = -1;
  RowIndex previous = -1;  ///< of the same sensor
  RowIndex next = -1;
  int width = 0;
  int height = 0;
  bool is_key_frame = false;
};

struct CalibrationRow {
  Token token;
  Channel channel = Channel::lidar_top;
  bool used = false;  ///< one of the channels known here (radars are not)
  RigidTransform ego_from_sensor;
  Eigen::Matrix3d intrinsic = Eigen::Matrix3d::Zero();
};

struct InstanceRow {
  Token token;
  std::int32_t category = -1;  ///< index into Tables::categories
};

struct AnnotationRow {
  Token token;
  RowIndex sample = -1;
  RowIndex instance = -1;
  RowIndex previous = -1;
  RowIndex next = -1;
  Eigen::Vector3d translation = Eigen::Vector3d::Zero();   ///< centre, global, m
  Eigen::Vector3d size = Eigen::Vector3d::Ones();          ///< width, length, height, m
  Eigen::Matrix3d rotation = Eigen::Matrix3d::Identity();  ///< global from box
  Attribute attribute = Attribute::none;
  int visibility = 0;
  int lidar_points = 0;
  int radar_points = 0;
};

/// The 13 tables of a nuScenes folder, with only the rows and fields that training needs: radars are left out, and so are, unless
/// asked for, camera images between key frames; ego poses are those of the rows kept. What the devkit derives is derived here
/// too.
struct Tables {
  std::filesystem::path root;    ///< the folder with samples/, sweeps/ and maps/
  std::filesystem::path folder;  ///< the folder of the tables, root/version
  std::vector<std::string> categories;
  std::vector<LogRow> logs;
  std::vector<SceneRow> scenes;
  std::vector<SampleRow> samples;
  std::vector<SampleDataRow> sample_data;
  std::vector<RigidTransform> ego_poses;  ///< global_from_ego
  std::vector<CalibrationRow> calibrations;
  std::vector<InstanceRow> instances;
  std::vector<AnnotationRow> annotations;  ///< all categories, sorted by sample, in the file's order within one
};

struct TablesOptions {
  /// Channels of the cameras, six at most, in the order of Channel; nuScenes' where empty, of which any may be missing.
  std::vector<std::string> cameras;
  std::string lidar = "LIDAR_TOP";  ///< channel of the LiDAR
  bool camera_sweeps = false;       ///< keep camera images between key frames
};

/// Opens a table ("sample_data") for reading, or gives nothing where there is none.
using TableOpener = std::function<std::unique_ptr<std::istream>(const std::string& table)>;

/// Reads the tables of `root`/`version`. Throws DataError naming file, row, token and field for a file that is missing,
/// malformed, cut short, or refers to a row that is not there, and for a channel of the options that is not there.
Tables read_tables(const std::filesystem::path& root, const std::string& version, const TablesOptions& options = {});

/// The same from elsewhere; root and folder stay empty, and errors call a file "sample_data.json".
Tables read_tables(const TableOpener& open, const TablesOptions& options = {});

/// Velocity (m/s, global x, y) of an annotation: the difference of its neighbours' positions over their time (of its own, where
/// one neighbour lacks), as the devkit's box_velocity. NaN where it has no neighbour, or they are more than `longest` seconds
/// apart (twice that for two neighbours).
Eigen::Vector2d velocity_of(const Tables& tables, RowIndex annotation, double longest = 1.5);

}  // namespace bevfusion
