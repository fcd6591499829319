// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/synth/synth_scene.hpp"

#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <utility>

namespace bevfusion {

void check(const SynthOptions& o) {
  const auto demand = [](bool good, const char* option, const char* what) {
    if (!good) throw std::invalid_argument(std::string("synth: option ") + option + " must be " + what);
  };
  demand(o.scenes >= 1 && o.scenes <= 100000, "scenes", "1 ... 100000");
  demand(o.samples >= 1 && o.samples <= 200, "samples", "1 ... 200");
  demand(o.sweeps >= 0 && o.sweeps <= 9, "sweeps", "0 ... 9");
  demand(o.validation_share >= 0 && o.validation_share <= 1, "validation_share", "0 ... 1");
  demand(o.validation_scenes <= o.scenes, "validation_scenes", "at most scenes");
  demand(o.test_scenes >= 0 && o.test_scenes <= 100000, "test_scenes", "0 ... 100000");
  demand(!o.version.empty() && o.version.find('/') == std::string::npos, "version", "the name of a folder");
  demand(o.fewest_objects >= 0 && o.most_objects >= o.fewest_objects, "most_objects",
         "at least fewest_objects, which is at least 0");
  demand(o.most_objects <= 500, "most_objects", "at most 500");
  demand(o.object_reach >= 10 && o.object_reach <= 80, "object_reach", "10 ... 80 m");
  demand(o.junction_reach >= 0 && o.junction_reach <= main_margin, "junction_reach", "0 ... 110 m");
  demand(o.annotation_range > 0, "annotation_range", "above 0");
  demand(o.decoys >= 0 && o.decoys <= 1, "decoys", "0 ... 1");
  demand(o.decoy_reach > 0 && o.decoy_reach <= 20, "decoy_reach", "above 0, 20 m at most");
  demand(o.camouflage >= 0 && o.camouflage <= 1, "camouflage", "0 ... 1");
  demand(o.azimuths >= 8 && o.azimuths <= 10000, "azimuths", "8 ... 10000");
  demand(o.lidar_range > 1 && o.lidar_range <= 200, "lidar_range", "1 ... 200 m");
  demand(o.range_noise >= 0 && o.range_noise <= 1, "range_noise", "0 ... 1 m");
  demand(o.drop_out >= 0 && o.drop_out <= 1, "drop_out", "0 ... 1");
  demand(o.intensity_semantics >= 0 && o.intensity_semantics <= 1, "intensity_semantics", "0 ... 1");
  demand(o.curb >= 0 && o.curb <= 0.5, "curb", "0 ... 0.5 m");
  demand(o.image_scale >= 0.01 && o.image_scale <= 1, "image_scale", "0.01 ... 1");
  demand(o.supersample >= 1 && o.supersample <= 4, "supersample", "1 ... 4");
  demand(o.fog >= 0, "fog", "0 (clear) or a distance");
  demand(o.least_gain > 0 && o.most_gain >= o.least_gain, "most_gain", "at least least_gain, which is above 0");
  demand(o.image_noise >= 0 && o.image_noise <= 1, "image_noise", "0 ... 1");
  demand(o.blur >= 0 && o.blur <= 100, "blur", "0 ... 100 pixels");
  demand(o.jpeg_quality >= 0 && o.jpeg_quality <= 100, "jpeg_quality", "0 (PPM) ... 100");
}

int SynthOptions::scenes_of_validation() const {
  return validation_scenes >= 0 ? validation_scenes : static_cast<int>(std::lround(validation_share * scenes));
}

namespace {

SynthScene with_decoys(SynthScene scene, const SynthOptions& options) {
  for (const TrafficObject& object : scene.traffic.objects) {
    if (object.decoy) scene.town.mark_crossing(object.motion.road, object.motion.s, object.motion.d, options.decoy_reach);
  }
  return scene;
}

Motion motion_of(const Drive& drive) {
  auto way = std::make_shared<TimedWay>();
  way->begin = drive.begin;
  way->step = Drive::step;
  for (const VehicleState& state : drive.states) way->poses.push_back(state.pose);
  Motion motion;
  motion.timed = way;
  return motion;
}

}  // namespace

SynthScene make_scene(const SynthOptions& options, int index) {
  Random random({options.seed, static_cast<std::uint64_t>(index)});
  SynthScene scene;
  scene.index = index;
  char name[32];
  std::snprintf(name, sizeof name, "synth-%04d", index);
  scene.name = name;
  scene.location = "synthetic-town-" + std::to_string(index);
  scene.start = 1'600'000'000'000'000 + index * std::int64_t{1'000'000'000};
  scene.gain = random.uniform(options.least_gain, options.most_gain);
  scene.texture = random.bits();
  const double seconds = 0.5 * (options.samples - 1);
  if (options.driving) {
    const double cruise = random.uniform(4, 9);
    scene.town = make_town(cruise * seconds, options, random);
    scene.drive = plan_drive(scene.town, seconds, cruise, random);
    scene.traffic = make_traffic(scene.town, motion_of(*scene.drive), seconds, options, random);
    scene.traffic.lights = scene.drive->lights;
    return with_decoys(std::move(scene), options);
  }
  const bool at_any_angle = random.chance(0.3);
  const double speed = at_any_angle ? random.uniform(0, 1) : random.uniform(0, 10);
  scene.town = make_town(at_any_angle ? 0 : speed * seconds, options, random);
  const Motion car = make_drive(scene.town, speed, at_any_angle, random);
  scene.traffic = make_traffic(scene.town, car, seconds, options, random);
  return with_decoys(std::move(scene), options);
}

std::vector<ObjectState> SynthScene::objects_at(double time, double range) const {
  const Eigen::Vector2d car = traffic.car.at(time).position;
  std::vector<ObjectState> states;
  for (std::size_t i = 0; i < traffic.objects.size(); ++i) {
    const TrafficObject& object = traffic.objects[i];
    if (object.decoy) continue;
    const GroundPose pose = object.motion.at(time);
    if ((pose.position - car).norm() > range) continue;
    states.push_back({i, {pose.position.x(), pose.position.y(), 0.5 * object.size.z()}, object.size, pose.yaw});
  }
  return states;
}

}  // namespace bevfusion
