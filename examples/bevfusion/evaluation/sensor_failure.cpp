// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/evaluation/sensor_failure.hpp"

#include <stdexcept>

#include "bevfusion/model/model_config.hpp"

namespace bevfusion {
namespace {

std::vector<std::string> names_of(const SensorFailure& failure, const RunConfig& config) {
  std::vector<std::string> names = failure.modalities;
  const std::vector<std::string> channels = names_in(config.data.cameras);
  for (const std::size_t camera : failure.cameras) {
    names.push_back(channels.at(camera));
  }
  if (failure.beams != 32) {
    names.push_back(std::to_string(32 - failure.beams) + " of 32 beams");
  }
  return names;
}

}  // namespace

std::string called(const SensorFailure& failure, const RunConfig& config) {
  if (!failure.any()) {
    return "all";
  }
  if (failure.beams != 32 && failure.modalities.empty() && failure.cameras.empty()) {
    return std::to_string(failure.beams) + " beams";
  }
  std::string text;
  for (const std::string& name : names_of(failure, config)) {
    text += (text.empty() ? "no " : ", ") + name;
  }
  return text;
}

nlohmann::ordered_json json_of(const SensorFailure& failure, const RunConfig& config) {
  nlohmann::ordered_json json;
  json["without"] = names_of(failure, config);
  json["called"] = called(failure, config);
  if (!failure.modalities.empty()) {
    json["as"] = failure.missing == Missing::inputs ? "inputs" : "maps";
  }
  return json;
}

std::vector<SensorFailure> sensor_failures(const RunConfig& config, bool single, Missing missing) {
  const ModelParts& parts = config.model.parts;
  std::vector<SensorFailure> failures(1);
  if (parts.lidar && parts.camera) {
    for (const char* sensor : {"camera", "lidar"}) {
      SensorFailure failure;
      failure.modalities = {sensor};
      failure.missing = missing;
      failures.push_back(failure);
    }
  } else if (!single) {
    throw std::invalid_argument(std::string("--missing needs a network of two sensors; this one has ") +
                                (parts.lidar ? "lidar" : "camera") + " alone");
  }
  for (std::size_t camera = 0; single && parts.camera && camera < names_in(config.data.cameras).size(); ++camera) {
    SensorFailure failure;
    failure.cameras = {camera};
    failures.push_back(failure);
  }
  for (const int beams : {16, 4}) {
    if (single && parts.lidar) {
      SensorFailure failure;
      failure.beams = beams;
      failures.push_back(failure);
    }
  }
  return failures;
}

}  // namespace bevfusion
