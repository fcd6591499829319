// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/driving/car_state.hpp"
#include "bevfusion/loading/training_sample.hpp"
#include "bevfusion/synth/world.hpp"

namespace bevfusion {

/// What the sensors see now, rendered as `bevfusion synth` renders it and loaded as SampleLoader loads it, without augmentation;
/// without boxes, and without labelled masks.
TrainingSample sample_of(const World& world, const LoadingOptions& loading);

/// What the car knows of itself now, as car_state_at() finds it in files.
CarState car_state_of(const World& world);

}  // namespace bevfusion
