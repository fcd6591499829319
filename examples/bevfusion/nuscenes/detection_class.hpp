// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace bevfusion {

/// Position of a class in a set of labels. The names are those of the standard set: the ten classes of the nuScenes detection
/// task, in the order of its configuration.
enum class DetectionClass {
  car,
  truck,
  bus,
  trailer,
  construction_vehicle,
  pedestrian,
  motorcycle,
  bicycle,
  traffic_cone,
  barrier
};

inline constexpr std::size_t detection_class_count = 10;
inline constexpr std::array<std::string_view, detection_class_count> detection_class_names = {
    "car", "truck", "bus", "trailer", "construction_vehicle", "pedestrian", "motorcycle", "bicycle", "traffic_cone", "barrier"};

inline std::string_view name_of(DetectionClass label) { return detection_class_names[static_cast<std::size_t>(label)]; }

enum class Attribute {
  none,
  vehicle_moving,
  vehicle_stopped,
  vehicle_parked,
  cycle_with_rider,
  cycle_without_rider,
  pedestrian_sitting_lying_down,
  pedestrian_standing,
  pedestrian_moving
};

inline constexpr std::size_t attribute_count = 8;  // without none
inline constexpr std::array<std::string_view, attribute_count + 1> attribute_names = {"",
                                                                                      "vehicle.moving",
                                                                                      "vehicle.stopped",
                                                                                      "vehicle.parked",
                                                                                      "cycle.with_rider",
                                                                                      "cycle.without_rider",
                                                                                      "pedestrian.sitting_lying_down",
                                                                                      "pedestrian.standing",
                                                                                      "pedestrian.moving"};

inline std::string_view name_of(Attribute attribute) { return attribute_names[static_cast<std::size_t>(attribute)]; }

/// Attribute of that name; none for one that is unknown.
Attribute attribute_of(std::string_view name);

}  // namespace bevfusion
