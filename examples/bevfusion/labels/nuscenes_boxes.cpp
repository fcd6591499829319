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
  static const std::vector<Facts> all = {
      {{"vehicle.car"}, {255, 158, 0}, vehicles, A::vehicle_parked, A::vehicle_moving},
      {{"vehicle.truck"}, {255, 99, 71}, vehicles, A::vehicle_parked, A::vehicle_moving},
      {{"vehicle.bus.rigid", "vehicle.bus.bendy"}, {255, 127, 80}, vehicles, A::vehicle_stopped, A::vehicle_moving},
      {{"vehicle.trailer"}, {255, 140, 0}, vehicles, A::vehicle_parked, A::vehicle_moving},
      {{"vehicle.construction"}, {233, 150, 70}, vehicles, A::vehicle_parked, A::vehicle_moving},
      {{"human.pedestrian.adult", "human.pedestrian.child", "human.pedestrian.construction_worker",
        "human.pedestrian.police_officer"},
       {60, 120, 255},
       vulnerable,
       A::pedestrian_standing,
       A::pedestrian_moving,
       true},
      {{"vehicle.motorcycle"}, {255, 61, 99}, vulnerable, A::cycle_without_rider, A::cycle_with_rider},
      {{"vehicle.bicycle"}, {220, 20, 60}, vulnerable, A::cycle_without_rider, A::cycle_with_rider},
      {{"movable_object.trafficcone"}, {0, 207, 191}, barriers, A::none, A::none, true},
      {{"movable_object.barrier"}, {175, 120, 220}, barriers, A::none, A::none}};
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
