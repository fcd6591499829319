// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "bevfusion/nuscenes/key_frame.hpp"

namespace bevfusion {

/// What the names of a sample's pictures begin with: its number, and the beginning of its token, "15_f9ada94c".
std::string picture_name(RowIndex sample, const KeyFrame& frame);

/// Where in its scene a sample is, from 1.
int place_in_scene(const Tables& tables, RowIndex sample);

}  // namespace bevfusion
