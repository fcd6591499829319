// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/synth/synth_scene.hpp"

namespace bevfusion {

/// Writes what a scene's driver does and sees: can_bus/SCENE_vehicle_monitor.json and SCENE_route.json in the format of nuScenes'
/// CAN bus expansion, and traffic_lights/SCENE.json, which nuScenes has not: the light ahead at each key frame.
void write_driving_files(const SynthScene& scene, const SynthOptions& options);

}  // namespace bevfusion
