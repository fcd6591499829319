// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

namespace bevfusion {

/// The ten classes of the nuScenes detection task, in the order of its configuration.
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

/// Class of a nuScenes category name ("vehicle.bus.rigid"), or nothing for those that the detection task leaves out. A class of
/// the benchmark's may stand for several categories.
std::optional<DetectionClass> class_of_category(std::string_view category);

/// A category that belongs to the class (the first one, where there are several).
std::string_view category_of_class(DetectionClass label);

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

/// The attribute that class and speed (m/s) suggest: moving above 0.2 m/s, as BEVFusion submits it; none for cones and barriers.
Attribute attribute_by_speed(DetectionClass label, double speed);

}  // namespace bevfusion
