// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace bevfusion {

/// A LiDAR return as nuScenes writes it: five little-endian floats. x right, y forward, z up in the sensor's frame, metres.
struct LidarPoint {
  float x = 0;
  float y = 0;
  float z = 0;
  float intensity = 0;  ///< 0 ... 255
  float ring = 0;       ///< 0 (lowest beam) ... 31
};
static_assert(sizeof(LidarPoint) == 20, "the points are read and written as they lie in memory");

/// Decodes the bytes of a .pcd.bin file. Throws DataError, naming `file`, where they are no whole number of points, more than ten
/// million, or hold a number that is not finite or beyond 1e6, or a ring that is no whole number: columns of another layout.
std::vector<LidarPoint> decode_lidar(const std::vector<std::uint8_t>& bytes, const std::string& file);

/// Reads a .pcd.bin file; throws DataError as decode_lidar() does, and where it cannot be read.
std::vector<LidarPoint> read_lidar(const std::filesystem::path& file);

/// Writes a .pcd.bin file; throws DataError where it cannot.
void write_lidar(const std::filesystem::path& file, const std::vector<LidarPoint>& points);

}  // namespace bevfusion
