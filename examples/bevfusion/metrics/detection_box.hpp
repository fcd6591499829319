// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "bevfusion/metrics/per_class.hpp"

namespace bevfusion {

/// A box in the global frame, annotated or predicted.
struct DetectionBox {
  std::array<double, 3> translation{};  ///< centre, m
  std::array<double, 3> size{};         ///< width, length, height, m
  std::array<double, 4> rotation{};     ///< quaternion w, x, y, z; its length does not matter
  std::array<double, 2> velocity{};     ///< m/s; NaN where unknown
  DetectionClass detection_class = DetectionClass::car;
  Attribute attribute = Attribute::none;
  double score = -1;     ///< of predictions, any finite number; higher is surer
  int point_count = -1;  ///< LiDAR plus radar points inside an annotated box; -1 where not counted, as in predictions
};

/// A `static_object.bicycle_rack` annotation in the global frame: bicycles and motorcycles in it are not evaluated.
struct BicycleRack {
  std::array<double, 3> translation{};  ///< centre, m
  std::array<double, 3> size{};         ///< width, length, height, m
  std::array<double, 4> rotation{};     ///< quaternion w, x, y, z
};

/// One key frame to evaluate. The order of predictions decides between equal scores (see `accumulate`).
struct EvaluationSample {
  std::string token;
  std::array<double, 2> ego{};  ///< x, y of the ego pose of the LIDAR_TOP key frame, global frame, m
  std::vector<BicycleRack> bicycle_racks;
  std::vector<DetectionBox> truth;
  std::vector<DetectionBox> predictions;
};

/// The vector in the frame of a box whose orientation is the quaternion (w, x, y, z), given in the frame around it: R^T v.
/// A quaternion of length 0 gives the zero vector.
inline std::array<double, 3> into_frame(const std::array<double, 4>& rotation, const std::array<double, 3>& v) {
  const auto [w, x, y, z] = rotation;
  const double square = w * w + x * x + y * y + z * z;
  if (square == 0) {
    return {};
  }
  const double s = 1 / square;
  return {s * ((w * w + x * x - y * y - z * z) * v[0] + 2 * (x * y + w * z) * v[1] + 2 * (x * z - w * y) * v[2]),
          s * (2 * (x * y - w * z) * v[0] + (w * w - x * x + y * y - z * z) * v[1] + 2 * (y * z + w * x) * v[2]),
          s * (2 * (x * z + w * y) * v[0] + 2 * (y * z - w * x) * v[1] + (w * w - x * x - y * y + z * z) * v[2])};
}

/// Heading of the x axis that the quaternion (w, x, y, z) turns, seen from above: rad in [-pi, pi].
inline double heading_of(const std::array<double, 4>& rotation) {
  const auto [w, x, y, z] = rotation;
  return std::atan2(2 * (x * y + w * z), w * w + x * x - y * y - z * z);
}

}  // namespace bevfusion
