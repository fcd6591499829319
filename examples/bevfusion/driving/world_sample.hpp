// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "bevfusion/driving/car_state.hpp"
#include "bevfusion/loading/training_sample.hpp"
#include "bevfusion/synth/world.hpp"

namespace bevfusion {

/// What the sensors see now, rendered as `bevfusion synth` renders it and loaded as SampleLoader loads it, without augmentation;
/// without boxes, and without labelled masks.
/// @param cameras  whose pictures are the sample's, the first loading.camera_slots of them; all six where empty
TrainingSample sample_of(const World& world, const LoadingOptions& loading, const std::vector<Channel>& cameras = {});

/// What the car knows of itself now, as car_state_at() finds it in files.
CarState car_state_of(const World& world);

}  // namespace bevfusion
