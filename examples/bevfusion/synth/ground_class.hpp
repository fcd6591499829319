// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace bevfusion {

/// What the ground of a town may be. Those but the last are layers of the map expansion; a divider is a road_divider or a
/// lane_divider.
enum class GroundClass { drivable_area, ped_crossing, walkway, stop_line, carpark_area, divider };

inline std::string_view name_of(GroundClass ground) {
  switch (ground) {
    case GroundClass::drivable_area:
      return "drivable_area";
    case GroundClass::ped_crossing:
      return "ped_crossing";
    case GroundClass::walkway:
      return "walkway";
    case GroundClass::stop_line:
      return "stop_line";
    case GroundClass::carpark_area:
      return "carpark_area";
    case GroundClass::divider:
      break;
  }
  return "divider";
}

}  // namespace bevfusion
