// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/labels/label_sets.hpp"

namespace bevfusion {
namespace {

/// What this set adds to a class of the benchmark's.
struct Facts {
  std::vector<std::string> categories;
  Colour colour;
  std::string group;
  Attribute resting;
  Attribute travelling;
  bool point = false;
};

const std::vector<Facts>& facts() {
  using A = Attribute;
  const std::string vehicles = "vehicles";
  const std::string vulnerable = "cycles and pedestrians";
  const std::string barriers = "barriers and cones";
  // Colours: any two differ by 40 in CIELAB, and by 35 those of different groups in the eyes of protanopes and deuteranopes, too;
  // all stand out from the map, from white and from black.
  static const std::vector<Facts> all = {
      {{"vehicle.car"}, {255, 96, 5}, vehicles, A::vehicle_parked, A::vehicle_moving},
      {{"vehicle.truck"}, {165, 212, 84}, vehicles, A::vehicle_parked, A::vehicle_moving},
      {{"vehicle.bus.rigid", "vehicle.bus.bendy"}, {128, 135, 75}, vehicles, A::vehicle_stopped, A::vehicle_moving},
      {{"vehicle.trailer"}, {8, 222, 151}, vehicles, A::vehicle_parked, A::vehicle_moving},
      {{"vehicle.construction"}, {155, 79, 10}, vehicles, A::vehicle_parked, A::vehicle_moving},
      {{"human.pedestrian.adult", "human.pedestrian.child", "human.pedestrian.construction_worker",
        "human.pedestrian.police_officer"},
       {1, 122, 146},
       vulnerable,
       A::pedestrian_standing,
       A::pedestrian_moving,
       true},
      {{"vehicle.motorcycle"}, {192, 0, 122}, vulnerable, A::cycle_without_rider, A::cycle_with_rider},
      {{"vehicle.bicycle"}, {0, 82, 253}, vulnerable, A::cycle_without_rider, A::cycle_with_rider},
      {{"movable_object.trafficcone"}, {57, 225, 227}, barriers, A::none, A::none, true},
      {{"movable_object.barrier"}, {4, 155, 251}, barriers, A::none, A::none}};
  return all;
}

}  // namespace

/// The ten classes of nuScenes' detection task, made of 14 of its 23 categories.
void register_nuscenes_boxes(LabelSets& sets) {
  DetectionLabels labels;
  for (std::size_t i = 0; i < nuscenes_classes().size(); ++i) {
    const Facts& of = facts().at(i);
    DetectionLabel label;
    static_cast<EvaluatedClass&>(label) = nuscenes_classes()[i];
    label.categories = of.categories;
    label.colour = of.colour;
    label.point = of.point;
    label.group = of.group;
    label.resting = of.resting;
    label.travelling = of.travelling;
    labels.push_back(std::move(label));
  }
  sets.detection.add(standard_detection_labels, std::move(labels));
}

}  // namespace bevfusion
