// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "bevfusion/map/map_expansion.hpp"

namespace bevfusion {

/// Whether rings, the outer one first, make an area by the rules of OGC's simple features: no ring meets itself, holes lie inside
/// the outer ring and outside each other and touch in single points at most, and no touching holes cut the area in two.
bool is_valid_area(const std::vector<Chain>& rings);

}  // namespace bevfusion
