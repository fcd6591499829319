// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/model/missing_input.hpp"

namespace bevfusion {

/// What of the sensors is missing in an evaluation.
struct SensorFailure {
  std::vector<std::string> modalities;  ///< branches of the network, "lidar", "camera"
  Missing missing = Missing::maps;      ///< and how
  std::vector<std::size_t> cameras;     ///< single ones, by their place in data.cameras
  int beams = 32;                       ///< that the LiDAR has left; see PointOptions::beams

  bool any() const { return !modalities.empty() || !cameras.empty() || beams != 32; }
};

/// How it is called in tables: "all", "no camera", "no CAM_FRONT", "16 beams".
std::string called(const SensorFailure& failure, const RunConfig& config);

/// What it is in evaluation.json: `without`, the names of what is missing, and `called`; where modalities are missing, also how
/// (`as`).
nlohmann::ordered_json json_of(const SensorFailure& failure, const RunConfig& config);

/// Nothing missing, each sensor of a network that has both, and, where single ones are asked for, each camera and 16 and 4 beams.
/// @throws std::invalid_argument where that is nothing but nothing missing
std::vector<SensorFailure> sensor_failures(const RunConfig& config, bool single, Missing missing);

}  // namespace bevfusion
