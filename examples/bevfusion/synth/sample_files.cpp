// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/synth/sample_files.hpp"

#include "bevfusion/geometry/box.hpp"
#include "bevfusion/nuscenes/bytes.hpp"
#include "bevfusion/nuscenes/camera_masks.hpp"
#include "bevfusion/nuscenes/image_file.hpp"
#include "bevfusion/synth/camera_sensor.hpp"
#include "bevfusion/synth/lidar_sensor.hpp"
#include "bevfusion/synth/sensor_rig.hpp"

namespace bevfusion {

namespace {

SensorFile file_of(const SynthScene& scene, Channel channel, std::int64_t timestamp, bool key, const char* extension) {
  const std::string name(name_of(channel));
  return {(key ? "samples/" : "sweeps/") + name + '/' + scene.name + "__" + name + "__" + std::to_string(timestamp) + extension,
          timestamp, key};
}

enum Stream : std::uint64_t { lidar_stream = 1, camera_stream = 2 };

// The box in the sensor's frame, as a reader of the files would have it: yaw only.
Box3D box_in(const RigidTransform& sensor_from_global, const ObjectState& state) {
  Box3D box;
  box.center = sensor_from_global * state.center;
  box.size = state.size;
  box.yaw = yaw_of(sensor_from_global.rotation * rotation_about_z(state.yaw));
  return box;
}

}  // namespace

std::vector<SensorFile> lidar_files_of(const SynthScene& scene, int sample, const SynthOptions& options) {
  std::vector<SensorFile> files;
  for (int before = options.sweeps; before >= 0; --before) {
    const std::int64_t time = scene.sample_time(sample) - before * (SynthScene::period / (options.sweeps + 1));
    files.push_back(file_of(scene, Channel::lidar_top, time, before == 0, ".pcd.bin"));
  }
  return files;
}

SensorFile camera_file_of(const SynthScene& scene, int sample, Channel camera, const SynthOptions& options) {
  return file_of(scene, camera, scene.sample_time(sample) + facts_of(camera).delay, true,
                 options.jpeg_quality > 0 ? ".jpg" : ".ppm");
}

std::vector<SeenObject> write_sample_files(const SynthScene& scene, int sample, const SynthOptions& options) {
  const auto key = [&](Stream stream, std::size_t which) {
    return Random({options.seed, static_cast<std::uint64_t>(scene.index), static_cast<std::uint64_t>(sample), stream, which});
  };
  std::vector<LidarPoint> points;
  RigidTransform global_from_lidar;
  const std::vector<SensorFile> sweeps = lidar_files_of(scene, sample, options);
  for (std::size_t i = 0; i < sweeps.size(); ++i) {
    const double time = scene.seconds(sweeps[i].timestamp);
    Random random = key(lidar_stream, i);
    global_from_lidar = scene.global_from_ego(time) * ego_from_sensor(Channel::lidar_top);
    points = scan(scene.town, solids_at(scene.traffic, time), global_from_lidar, options, random);
    write_lidar(options.out / sweeps[i].path, points);
  }

  PixelCounts counts(scene.traffic.objects.size());
  for (std::size_t c = 0; c < camera_count; ++c) {
    const auto channel = static_cast<Channel>(c);
    const SensorFile file = camera_file_of(scene, sample, channel, options);
    const double time = scene.seconds(file.timestamp);
    Camera camera;
    camera.intrinsic = intrinsic_of(channel, options.image_scale);
    camera.global_from_camera = scene.global_from_ego(time) * ego_from_sensor(channel);
    camera.width = scaled_width(options.image_scale);
    camera.height = scaled_height(options.image_scale);
    Random random = key(camera_stream, c);
    GreyImage shown;
    const Image image = render(scene.town, solids_at(scene.traffic, time), camera, scene.gain, scene.texture, options, random,
                               counts, options.driving ? &shown : nullptr);
    if (options.driving) write_png(mask_file_of(options.out, options.out / file.path), shown);
    const std::vector<std::uint8_t> bytes =
        options.jpeg_quality > 0 ? encode_jpeg(image, options.jpeg_quality) : encode_ppm(image);
    write_bytes(options.out / file.path, bytes.data(), bytes.size());
  }

  std::vector<SeenObject> seen;
  const RigidTransform lidar_from_global = global_from_lidar.inverse();  // the last sweep is the key frame's
  for (const ObjectState& state : scene.objects_at(0.5 * sample, options.annotation_range)) {
    seen.push_back({state.object, count_points_in(box_in(lidar_from_global, state), points), counts.visibility(state.object)});
  }
  return seen;
}

}  // namespace bevfusion
