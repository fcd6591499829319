// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/driving/rollout.hpp"
#include "bevfusion/pictures/image.hpp"

namespace bevfusion {

/// The town around a route from above, y up: its surfaces, the lights and the others as they are at the end, the route, the way
/// that was driven, the car, and a ring and a word at each infraction.
/// @param size  pixels of the longer side
Image picture_of(const World& world, const Rollout& rollout, int size);

}  // namespace bevfusion
