// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "bevfusion/nuscenes/lidar_file.hpp"
#include "bevfusion/synth/random.hpp"
#include "bevfusion/synth/solid.hpp"
#include "bevfusion/synth/town.hpp"

namespace bevfusion {

/// One turn of the LiDAR, seen all at one time (nuScenes' sweeps are motion-compensated): firing by firing, clockwise from the
/// car's left-hand side as in the real files, in each the rings from the lowest up. Points are in the sensor's frame.
std::vector<LidarPoint> scan(const Town& town, const std::vector<Solid>& solids, const RigidTransform& global_from_lidar,
                             const SynthOptions& options, Random& random);

}  // namespace bevfusion
