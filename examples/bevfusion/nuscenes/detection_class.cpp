// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/nuscenes/detection_class.hpp"

#include <utility>

namespace bevfusion {

namespace {

using C = DetectionClass;

// The 14 of the 23 categories that count.
constexpr std::array<std::pair<std::string_view, C>, 14> kept_categories = {
    {{"vehicle.car", C::car},
     {"vehicle.truck", C::truck},
     {"vehicle.bus.rigid", C::bus},
     {"vehicle.bus.bendy", C::bus},
     {"vehicle.trailer", C::trailer},
     {"vehicle.construction", C::construction_vehicle},
     {"human.pedestrian.adult", C::pedestrian},
     {"human.pedestrian.child", C::pedestrian},
     {"human.pedestrian.construction_worker", C::pedestrian},
     {"human.pedestrian.police_officer", C::pedestrian},
     {"vehicle.motorcycle", C::motorcycle},
     {"vehicle.bicycle", C::bicycle},
     {"movable_object.trafficcone", C::traffic_cone},
     {"movable_object.barrier", C::barrier}}};

}  // namespace

std::optional<DetectionClass> class_of_category(std::string_view category) {
  for (const auto& [name, label] : kept_categories) {
    if (name == category) return label;
  }
  return std::nullopt;
}

std::string_view category_of_class(DetectionClass label) {
  for (const auto& [name, of] : kept_categories) {
    if (of == label) return name;
  }
  return {};
}

Attribute attribute_of(std::string_view name) {
  for (std::size_t i = 1; i < attribute_names.size(); ++i) {
    if (attribute_names[i] == name) return static_cast<Attribute>(i);
  }
  return Attribute::none;
}

Attribute attribute_by_speed(DetectionClass label, double speed) {
  const bool moves = speed > 0.2;
  switch (label) {
    case C::pedestrian:
      return moves ? Attribute::pedestrian_moving : Attribute::pedestrian_standing;
    case C::motorcycle:
    case C::bicycle:
      return moves ? Attribute::cycle_with_rider : Attribute::cycle_without_rider;
    case C::traffic_cone:
    case C::barrier:
      return Attribute::none;
    case C::bus:
      return moves ? Attribute::vehicle_moving : Attribute::vehicle_stopped;
    case C::car:
    case C::truck:
    case C::trailer:
    case C::construction_vehicle:
      break;
  }
  return moves ? Attribute::vehicle_moving : Attribute::vehicle_parked;
}

}  // namespace bevfusion
