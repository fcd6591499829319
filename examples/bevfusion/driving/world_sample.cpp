// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/driving/world_sample.hpp"

#include <cmath>
#include <utility>
#include <vector>

#include "bevfusion/nuscenes/can_bus.hpp"
#include "bevfusion/nuscenes/image_file.hpp"
#include "bevfusion/synth/camera_sensor.hpp"
#include "bevfusion/synth/lidar_sensor.hpp"
#include "bevfusion/synth/sensor_rig.hpp"

namespace bevfusion {

namespace {

RigidTransform global_from_ego(const World::Moment& moment) {
  const GroundPose& pose = moment.car.pose;
  return {rotation_about_z(pose.yaw), {pose.position.x(), pose.position.y(), 0}};
}

Random draws(const World& world, std::uint64_t which) {
  const auto now = static_cast<std::uint64_t>(std::llround(1e3 * world.time()));
  return Random({world.options().seed, static_cast<std::uint64_t>(world.scene().index), now, which, 0x776f726c64ULL});
}

std::vector<SweepPoint> points_of(const World& world, const LoadingOptions& loading) {
  const RigidTransform ego_from_lidar = ego_from_sensor(Channel::lidar_top);
  const RigidTransform here = global_from_ego(world.at(world.time())) * ego_from_lidar;
  const double apart = 1e-6 * static_cast<double>(SynthScene::period) / (world.options().sweeps + 1);
  std::vector<SweepPoint> points;
  for (int i = 0; i < std::min(loading.sweeps, world.options().sweeps + 1); ++i) {
    const World::Moment then = world.at(world.time() - i * apart);
    const RigidTransform there = global_from_ego(then) * ego_from_lidar;
    Random random = draws(world, static_cast<std::uint64_t>(i));
    const std::vector<LidarPoint> own =
        scan(world.scene().town, solids_at(world.scene().traffic, then.time, then.clocks), there, world.options(), random);
    SweepFrame sweep;
    sweep.key_from_sweep = here.inverse() * there;
    sweep.age = i * apart;
    add_sweep(own, sweep, /*key_frame=*/i == 0, loading.points, points);
  }
  return points;
}

Image picture_of(const World& world, const World::Moment& then, Channel channel) {
  const SynthOptions& options = world.options();
  Camera camera;
  camera.intrinsic = intrinsic_of(channel, options.image_scale);
  camera.global_from_camera = global_from_ego(then) * ego_from_sensor(channel);
  camera.width = scaled_width(options.image_scale);
  camera.height = scaled_height(options.image_scale);
  Random random = draws(world, 100 + static_cast<std::uint64_t>(channel));
  PixelCounts counts(world.scene().traffic.objects.size());
  const Image image = render(world.scene().town, solids_at(world.scene().traffic, then.time, then.clocks), camera,
                             world.scene().gain, world.scene().texture, options, random, counts);
  return options.jpeg_quality > 0 ? decode_jpeg(encode_jpeg(image, options.jpeg_quality), "a rendered picture") : image;
}

}  // namespace

TrainingSample sample_of(const World& world, const LoadingOptions& loading, const std::vector<Channel>& cameras) {
  TrainingSample sample;
  sample.camera_slots = loading.camera_slots;
  sample.masks = MapMasks(loading.map_labels, loading.grid.cells);
  if (loading.lidar) sample.points = points_of(world, loading);
  const RigidTransform global_from_lidar = global_from_ego(world.at(world.time())) * ego_from_sensor(Channel::lidar_top);
  for (std::size_t c = 0; loading.cameras && c < loading.camera_slots; ++c) {
    const Channel channel = cameras.empty() ? static_cast<Channel>(c) : cameras.at(c);
    const World::Moment then = world.at(world.time() + 1e-6 * static_cast<double>(facts_of(channel).delay));
    const Image taken = picture_of(world, then, channel);
    const ImageAugmentation to_size = fixed_image_augmentation(loading.image, taken.width, taken.height);
    TrainingCamera& camera = sample.cameras[c];
    camera.present = true;
    camera.image = resample(taken, to_size);
    camera.intrinsic = intrinsic_of(channel, world.options().image_scale);
    camera.camera_to_lidar = (global_from_lidar.inverse() * global_from_ego(then) * ego_from_sensor(channel)).matrix();
    camera.image_augmentation = to_size.matrix4();
  }
  return sample;
}

CarState car_state_of(const World& world) {
  const Eigen::Matrix3d lidar_from_ego = ego_from_sensor(Channel::lidar_top).rotation.transpose();
  const GroundPose& pose = world.car().pose;
  CarState state;
  state.front = lidar_from_ego.col(0).head<2>().normalized();
  state.speed = world.speed();
  std::vector<Eigen::Vector2d> route;
  for (double s = world.place_on_route() - 5; s <= world.place_on_route() + route_ahead + 5; s += 1) {
    if (s >= 0 && s <= world.scene().drive->route.length()) route.push_back(world.scene().drive->route.at(s).position);
  }
  if (const auto place = place_along(route, pose.position, route_ahead)) {
    const Eigen::Vector2d way = *place - pose.position;
    state.route = (lidar_from_ego * (rotation_about_z(-pose.yaw) * Eigen::Vector3d(way.x(), way.y(), 0))).head<2>();
  }
  return state;
}

}  // namespace bevfusion
