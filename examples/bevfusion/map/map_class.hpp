// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace bevfusion {

/// The six classes of BEVFusion's map segmentation, in its order. A divider is a road_divider or a lane_divider.
enum class MapClass { drivable_area, ped_crossing, walkway, stop_line, carpark_area, divider };

inline constexpr std::size_t map_class_count = 6;
inline constexpr std::array<std::string_view, map_class_count> map_class_names = {"drivable_area", "ped_crossing", "walkway",
                                                                                  "stop_line",     "carpark_area", "divider"};

inline std::string_view name_of(MapClass label) { return map_class_names[static_cast<std::size_t>(label)]; }

}  // namespace bevfusion
