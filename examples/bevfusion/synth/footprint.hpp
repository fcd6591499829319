// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "bevfusion/geometry/footprint.hpp"
#include "bevfusion/synth/random.hpp"
#include "bevfusion/synth/solid.hpp"
#include "bevfusion/synth/town.hpp"

namespace bevfusion {

/// Buildings, poles and bushes beyond the walkways of all roads, none on a map class other than the walkway (poles).
std::vector<Solid> make_clutter(const Town& town, Random& random);

}  // namespace bevfusion
