// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/synth/synth_knobs.hpp"

#include <fstream>

#include <nlohmann/json.hpp>

#include "bevfusion/nuscenes/data_error.hpp"

namespace bevfusion {

SynthOptions read_synth_options(const std::filesystem::path& file) {
  std::ifstream stream(file);
  if (!stream) {
    fail(file.string(), "is not there: only data sets that `bevfusion synth` made have one");
  }
  SynthOptions o;
  try {
    const nlohmann::json json = nlohmann::json::parse(stream);
    const auto read = [&json](const char* name, auto& value) { json.at(name).get_to(value); };
    read("sweeps", o.sweeps);
    read("fewest_objects", o.fewest_objects);
    read("most_objects", o.most_objects);
    read("object_reach", o.object_reach);
    read("junction_reach", o.junction_reach);
    read("annotation_range", o.annotation_range);
    read("decoys", o.decoys);
    read("decoy_reach", o.decoy_reach);
    read("camouflage", o.camouflage);
    read("azimuths", o.azimuths);
    read("lidar_range", o.lidar_range);
    read("range_noise", o.range_noise);
    read("drop_out", o.drop_out);
    read("intensity_semantics", o.intensity_semantics);
    read("curb", o.curb);
    read("car_returns", o.car_returns);
    read("misses", o.misses);
    read("image_scale", o.image_scale);
    read("supersample", o.supersample);
    read("fog", o.fog);
    read("least_gain", o.least_gain);
    read("most_gain", o.most_gain);
    read("image_noise", o.image_noise);
    read("blur", o.blur);
    read("jpeg_quality", o.jpeg_quality);
    o.driving = json.value("driving", false);
  } catch (const nlohmann::json::exception& error) {
    fail(file.string(), std::string("does not say what the world is: ") + error.what());
  }
  return o;
}

}  // namespace bevfusion
