// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/synth/traffic.hpp"

#include <algorithm>
#include <cmath>

#include "bevfusion/synth/footprint.hpp"

namespace bevfusion {

namespace {

using C = DetectionClass;

// Shares of the classes in nuScenes, about, and their mean sizes (width, length, height), those of its detectors' anchors.
struct ClassFacts {
  C label;
  double share;
  double width;
  double length;
  double height;
};
constexpr std::array<ClassFacts, detection_class_count> class_facts = {{{C::car, .43, 1.97, 4.63, 1.74},
                                                                        {C::truck, .075, 2.51, 6.93, 2.84},
                                                                        {C::bus, .014, 2.94, 10.5, 3.47},
                                                                        {C::trailer, .021, 2.90, 12.29, 3.87},
                                                                        {C::construction_vehicle, .013, 2.85, 6.37, 3.19},
                                                                        {C::pedestrian, .19, 0.67, 0.73, 1.77},
                                                                        {C::motorcycle, .011, 0.77, 2.11, 1.47},
                                                                        {C::bicycle, .010, 0.60, 1.70, 1.28},
                                                                        {C::traffic_cone, .084, 0.41, 0.41, 1.07},
                                                                        {C::barrier, .13, 2.53, 0.50, 0.98}}};

C draw_class(Random& random) {
  double rest = random.unit() * 0.978;  // the shares' sum
  for (const ClassFacts& facts : class_facts) {
    rest -= facts.share;
    if (rest < 0) return facts.label;
  }
  return C::car;
}

bool is_vehicle(C label) {
  return label == C::car || label == C::truck || label == C::bus || label == C::trailer || label == C::construction_vehicle;
}

class Filler {
 public:
  Filler(const Town& town, const Motion& car, double seconds, const SynthOptions& options, Random& random)
      : town_(town), options_(options), reach_(options.object_reach), random_(random) {
    const double reach = reach_;
    for (double time = -0.5; time <= seconds + 0.25; time += 0.25) times_.push_back(time);
    for (const double time : times_) {
      const GroundPose pose = car.at(time);
      taken_.emplace_back();
      // The car's body (its rear axle is the ego frame's origin) and 3.5 m around its middle.
      const Eigen::Vector2d middle = pose.position + 1.4 * Eigen::Vector2d(std::cos(pose.yaw), std::sin(pose.yaw));
      taken_.back().push_back({middle, 3.5 + 2.0, 3.5 + 0.5, pose.yaw});
    }
    from_ = town.main().locate(car.at(0).position).s;
    to_ = town.main().locate(car.at(seconds).position).s;
    if (from_ > to_) std::swap(from_, to_);
    for (const Junction& junction : town.junctions) {
      if (junction.s > from_ - reach && junction.s < to_ + reach) crossing_.push_back(&town.roads[junction.road]);
    }
  }

  std::vector<TrafficObject> fill(int count) {
    std::vector<TrafficObject> objects;
    for (int attempt = 0; attempt < 40 * count && static_cast<int>(objects.size()) < count; ++attempt) {
      TrafficObject object = draw_object(draw_class(random_));
      disguise(object);
      if (!accept(object)) continue;
      objects.push_back(object);
      // Barriers and cones stand in rows.
      const bool rows = object.label == C::barrier || object.label == C::traffic_cone;
      for (int more = rows ? random_.integer(0, 4) : 0; more > 0 && static_cast<int>(objects.size()) < count; --more) {
        object.motion.s += object.label == C::barrier ? object.size.x() + 0.3 : 2.5;
        if (!accept(object)) break;
        objects.push_back(object);
      }
    }
    return objects;
  }

  // Whether the car never comes near: at an angle to the road, it may leave it.
  bool clear_of_car(const Solid& solid) const {
    const Footprint f{solid.center.head<2>(), solid.half.x(), solid.half.y(), solid.yaw};
    return std::none_of(taken_.begin(), taken_.end(), [&](const std::vector<Footprint>& taken) { return overlap(f, taken[0]); });
  }

 private:
  double draw_s(const Road& road) {
    if (&road == &town_.main()) return random_.uniform(from_ - reach_, to_ + reach_);
    return cross_half_length + random_.uniform(-reach_, reach_);
  }

  const RoadLayout& draw_road() {
    if (crossing_.empty() || random_.chance(0.75)) return town_.roads[0];
    return *crossing_[static_cast<std::size_t>(random_.integer(0, static_cast<int>(crossing_.size()) - 1))];
  }

  TrafficObject draw_object(C label) {
    TrafficObject object;
    object.label = label;
    object.size = mean_size_of(label);
    for (int i = 0; i < 3; ++i) object.size[i] *= random_.uniform(0.9, 1.1);
    for (float& c : object.colour) c = static_cast<float>(random_.uniform(0.08, 0.9));
    object.reflectivity = static_cast<float>(random_.uniform(14, 40));
    const RoadLayout& layout = draw_road();
    const Road& road = layout.road;
    Motion& motion = object.motion;
    motion.road = road;
    motion.s = draw_s(road);
    const bool on_right = random_.chance(0.5);
    const double way = on_right ? 1 : -1;  // traffic keeps right
    const double edge = on_right ? road.right_edge() : road.left_edge();
    const double outward = on_right ? -1 : 1;
    if (is_vehicle(label)) {
      if (label == C::car && random_.chance(0.12) && park(layout, object)) return object;
      const int lane = random_.integer(0, (on_right ? road.lanes_right : road.lanes_left) - 1);
      motion.d = outward * (lane + 0.5) * road.lane_width + random_.uniform(-0.2, 0.2);
      if (random_.chance(0.5)) {
        motion.speed = way * random_.uniform(2, 10);
      } else if (!on_right) {
        motion.turned = pi;
      }
    } else if (label == C::pedestrian) {
      motion.d = edge + outward * road.walkway * random_.uniform(0.2, 0.8);
      motion.turned = random_.uniform(-pi, pi);
      if (random_.chance(0.5)) {
        motion.speed = (random_.chance(0.5) ? 1 : -1) * random_.normal(1.4, 0.15);
        motion.turned = 0;
      }
    } else if (label == C::motorcycle || label == C::bicycle) {
      motion.d = edge - outward * random_.uniform(0.6, 1.2);
      if (random_.chance(0.5)) {
        motion.speed = way * random_.uniform(2.5, 8);
      } else if (!on_right) {
        motion.turned = pi;
      }
    } else {  // along the kerb; a barrier's long side is its width
      motion.d = edge - outward * 0.5;
      motion.turned = label == C::barrier ? outward * pi / 2 : 0.0;
    }
    return object;
  }

  // Draws nothing where neither knob is turned, so that scenes without them stay what they are.
  void disguise(TrafficObject& object) {
    if (options_.decoys > 0 && random_.chance(options_.decoys)) {
      object.decoy = true;
      object.motion.speed = 0;
    }
    if (options_.camouflage > 0 && random_.chance(options_.camouflage)) {
      constexpr std::array<Surface, 3> worn = {Surface::paint, Surface::walkway, Surface::carpark};
      object.colour = colour_of(worn[static_cast<std::size_t>(random_.integer(0, 2))]);
      object.reflectivity = 65;
    }
  }

  // Puts a car into a bay of a car park; false where the road has none.
  bool park(const RoadLayout& layout, TrafficObject& object) {
    std::vector<const Ribbon*> parks;
    for (const Ribbon& ribbon : layout.ribbons) {
      const bool near = ribbon.s0 > from_ - reach_ && ribbon.s1 < to_ + reach_;  // only the main road has car parks
      if (ribbon.label == GroundClass::carpark_area && near && ribbon.d1 - ribbon.d0 > 5.2) parks.push_back(&ribbon);
    }
    if (parks.empty()) return false;
    const Ribbon& park = *parks[static_cast<std::size_t>(random_.integer(0, static_cast<int>(parks.size()) - 1))];
    const int bays = static_cast<int>((park.s1 - park.s0) / 2.6);
    object.motion.s = park.s0 + 2.6 * (random_.integer(0, bays - 1) + 0.5);
    object.motion.d = 0.5 * (park.d0 + park.d1);
    object.motion.turned = random_.chance(0.5) ? pi / 2 : -pi / 2;
    return true;
  }

  bool accept(const TrafficObject& object) {
    std::vector<Footprint> steps;
    for (std::size_t i = 0; i < times_.size(); ++i) {
      const GroundPose pose = object.motion.at(times_[i]);
      const Footprint own{pose.position, 0.5 * object.size.y() + 0.15, 0.5 * object.size.x() + 0.15, pose.yaw};
      for (const Footprint& other : taken_[i]) {
        if (overlap(own, other)) return false;
      }
      steps.push_back(own);
    }
    for (std::size_t i = 0; i < times_.size(); ++i) taken_[i].push_back(steps[i]);
    return true;
  }

  const Town& town_;
  const SynthOptions& options_;
  double reach_;
  Random& random_;
  std::vector<double> times_;
  std::vector<std::vector<Footprint>> taken_;  // at each time
  double from_ = 0;                            // the car's way along the main road
  double to_ = 0;
  std::vector<const RoadLayout*> crossing_;  // roads that it meets within reach
};

}  // namespace

Eigen::Vector3d mean_size_of(DetectionClass label) {
  const ClassFacts& facts = class_facts[static_cast<std::size_t>(label)];
  return {facts.width, facts.length, facts.height};
}

Motion make_drive(const Town& town, double speed, bool at_any_angle, Random& random) {
  const Road& road = town.main();
  if (at_any_angle) {
    return Motion::straight(road.at(main_margin, random.uniform(-4, 4)), random.uniform(-pi, pi), speed);
  }
  Motion motion;
  motion.road = road;
  motion.s = main_margin;
  motion.d = -(random.integer(0, road.lanes_right - 1) + 0.5) * road.lane_width;
  motion.speed = speed;
  motion.sway_rate = 2 * pi / random.uniform(40, 80);
  motion.sway = random.uniform(0, 0.15) / motion.sway_rate;  // headings within 0.15 rad of the road's
  motion.sway_phase = random.uniform(-pi, pi);
  return motion;
}

Traffic make_traffic(const Town& town, const Motion& car, double seconds, const SynthOptions& options, Random& random) {
  Traffic traffic;
  traffic.car = car;
  const double travel = (car.at(seconds).position - car.at(0).position).norm();
  const double count = random.integer(options.fewest_objects, options.most_objects) * (1 + travel / (2 * options.object_reach));
  Filler filler(town, car, seconds, options, random);
  traffic.objects = filler.fill(static_cast<int>(std::lround(count)));
  for (const Solid& solid : make_clutter(town, random)) {
    if (filler.clear_of_car(solid)) traffic.clutter.push_back(solid);
  }
  return traffic;
}

}  // namespace bevfusion
