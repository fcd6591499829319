// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/nuscenes/lidar_file.hpp"

#include <cmath>
#include <cstring>

#include "bevfusion/nuscenes/bytes.hpp"
#include "bevfusion/nuscenes/data_error.hpp"

namespace bevfusion {

std::vector<LidarPoint> decode_lidar(const std::vector<std::uint8_t>& bytes, const std::string& file) {
  if (bytes.size() % sizeof(LidarPoint) != 0) {
    fail(file, "holds " + std::to_string(bytes.size()) + " bytes, which is no whole number of 20-byte points: cut short?");
  }
  std::vector<LidarPoint> points(bytes.size() / sizeof(LidarPoint));
  if (points.size() > 10'000'000) fail(file, "holds more than ten million points");
  if (points.empty()) return points;
  std::memcpy(points.data(), bytes.data(), bytes.size());
  for (std::size_t i = 0; i < points.size(); ++i) {
    const LidarPoint& p = points[i];
    for (const float value : {p.x, p.y, p.z, p.intensity, p.ring}) {
      if (!(std::abs(value) <= 1e6F)) fail(file, "point " + std::to_string(i) + " has a number that is not finite or beyond 1e6");
    }
    if (p.ring < 0 || p.ring != std::floor(p.ring)) {
      fail(file,
           "point " + std::to_string(i) + " has the ring " + std::to_string(p.ring) +
               ", which is no whole number >= 0: the file holds other columns than x, y, z, intensity and ring (four floats a "
               "point, as KITTI has?); write 0 as ring where there is none");
    }
  }
  return points;
}

std::vector<LidarPoint> read_lidar(const std::filesystem::path& file) { return decode_lidar(read_bytes(file), file.string()); }

void write_lidar(const std::filesystem::path& file, const std::vector<LidarPoint>& points) {
  write_bytes(file, points.data(), points.size() * sizeof(LidarPoint));
}

}  // namespace bevfusion
