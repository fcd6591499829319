// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/nuscenes/key_frame.hpp"

#include <cmath>
#include <filesystem>
#include <system_error>
#include <unordered_map>

#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/image_file.hpp"
#include "bevfusion/nuscenes/lidar_file.hpp"

namespace bevfusion {

namespace {

template <typename T>
const T& at(const std::vector<T>& rows, RowIndex index) {
  return rows[static_cast<std::size_t>(index)];
}

RigidTransform global_from_sensor(const Tables& tables, const SampleDataRow& data) {
  return at(tables.ego_poses, data.ego_pose) * at(tables.calibrations, data.calibration).ego_from_sensor;
}

Box3D box_of(const Tables& tables, RowIndex index, DetectionClass label, const RigidTransform& lidar_from_global) {
  const AnnotationRow& row = at(tables.annotations, index);
  Box3D box;
  box.center = lidar_from_global * row.translation;
  box.size = row.size;
  const Eigen::Matrix3d rotation = lidar_from_global.rotation * row.rotation;
  box.yaw = yaw_of(rotation);
  box.lean = rotation * rotation_about_z(-box.yaw);
  const Eigen::Vector2d v = velocity_of(tables, index);
  box.velocity = (lidar_from_global.rotation * Eigen::Vector3d(v.x(), v.y(), 0)).head<2>();
  box.label = label;
  box.attribute = row.attribute;
  box.annotation = row.token;
  box.instance = at(tables.instances, row.instance).token;
  box.lidar_points = row.lidar_points;
  box.radar_points = row.radar_points;
  box.visibility = row.visibility;
  return box;
}

}  // namespace

KeyFrame key_frame_of(const Tables& tables, RowIndex sample, const KeyFrameOptions& options) {
  const SampleRow& row = at(tables.samples, sample);
  const SceneRow& scene = at(tables.scenes, row.scene);
  const LogRow& log = at(tables.logs, scene.log);
  KeyFrame frame;
  frame.sample = row.token;
  frame.scene = scene.name;
  frame.location = log.location;
  if (!log.base_map.empty()) frame.base_map = tables.root / log.base_map;

  const RowIndex lidar = row.key(Channel::lidar_top);
  if (lidar < 0)
    fail((tables.folder / "sample_data.json").string(), "sample " + to_string(row.token) + " has no LIDAR_TOP key frame");
  const SampleDataRow& key = at(tables.sample_data, lidar);
  frame.timestamp = key.timestamp;
  frame.ego_from_lidar = at(tables.calibrations, key.calibration).ego_from_sensor;
  frame.global_from_ego = at(tables.ego_poses, key.ego_pose);
  const RigidTransform global_from_lidar = frame.global_from_lidar();
  const RigidTransform lidar_from_global = global_from_lidar.inverse();

  RowIndex at_sweep = lidar;
  for (int i = 0; i < options.sweeps && at_sweep >= 0; ++i) {
    const SampleDataRow& data = at(tables.sample_data, at_sweep);
    frame.sweeps.push_back({tables.root / data.file, lidar_from_global * global_from_sensor(tables, data),
                            1e-6 * static_cast<double>(key.timestamp - data.timestamp)});
    at_sweep = data.previous;
  }

  for (std::size_t c = 0; c < camera_count; ++c) {
    if (row.data[c] < 0) continue;
    const SampleDataRow& data = at(tables.sample_data, row.data[c]);
    CameraFrame& camera = frame.cameras[c];
    camera.present = true;
    camera.file = tables.root / data.file;
    camera.timestamp = data.timestamp;
    camera.view.intrinsic = at(tables.calibrations, data.calibration).intrinsic;
    camera.view.camera_from_lidar = global_from_sensor(tables, data).inverse() * global_from_lidar;
    camera.view.width = data.width;
    camera.view.height = data.height;
  }

  for (RowIndex i = row.first_annotation; i < row.first_annotation + row.annotation_count; ++i) {
    const InstanceRow& instance = at(tables.instances, at(tables.annotations, i).instance);
    const auto label = class_of_category(options.labels, at(tables.categories, instance.category));
    if (label) frame.boxes.push_back(box_of(tables, i, *label, lidar_from_global));
  }
  return frame;
}

Image read_picture(const CameraFrame& camera) {
  Image image = read_image(camera.file);
  if (image.width == camera.view.width && image.height == camera.view.height) return image;
  const auto size = [](int width, int height) { return std::to_string(width) + " x " + std::to_string(height); };
  fail(camera.file.string(),
       "is " + size(image.width, image.height) + " pixels large, and sample_data.json has " +
           size(camera.view.width, camera.view.height) +
           " for it, which its camera_intrinsic goes with: a resized copy needs tables with its own size and matrix");
}

namespace {

bool has_beam(float ring, int beams) {
  const auto r = static_cast<std::int64_t>(ring);
  return beams >= 32 || (r * beams + 16) % 32 < beams;
}

}  // namespace

void add_sweep(const std::vector<LidarPoint>& own, const SweepFrame& sweep, bool key_frame, const PointOptions& options,
               std::vector<SweepPoint>& points) {
  points.reserve(points.size() + own.size());
  const bool filter = !key_frame || options.close_in_key_frame;
  for (const LidarPoint& p : own) {
    if (!has_beam(p.ring, options.beams)) continue;
    if (filter && std::abs(p.x) < options.close && std::abs(p.y) < options.close) continue;
    if (key_frame) {  // exactly as measured
      points.push_back({p.x, p.y, p.z, p.intensity, 0.0F});
      continue;
    }
    const Eigen::Vector3d moved = sweep.key_from_sweep * Eigen::Vector3d(p.x, p.y, p.z);
    points.push_back({static_cast<float>(moved.x()), static_cast<float>(moved.y()), static_cast<float>(moved.z()), p.intensity,
                      static_cast<float>(sweep.age)});
  }
}

std::vector<SweepPoint> read_points(const KeyFrame& frame, const PointOptions& options) {
  std::vector<SweepPoint> points;
  for (std::size_t s = 0; s < frame.sweeps.size(); ++s) {
    const SweepFrame& sweep = frame.sweeps[s];
    if (std::error_code absent; s > 0 && !std::filesystem::exists(sweep.file, absent)) {
      fail(sweep.file.string(),
           "is missing. It is a sweep between key frames, which some parts of nuScenes come without: --loading.sweeps 1 (of "
           "bevfusion_draw: --sweeps 1) reads key frames alone, from which no velocity can be learnt");
    }
    add_sweep(read_lidar(sweep.file), sweep, s == 0, options, points);
  }
  return points;
}

std::vector<RowIndex> samples_of_scenes(const Tables& tables, const std::vector<std::string>& scenes) {
  std::unordered_map<std::string, RowIndex> by_name;
  for (const SceneRow& scene : tables.scenes) by_name.emplace(scene.name, scene.first_sample);
  std::vector<RowIndex> samples;
  for (const std::string& name : scenes) {
    const auto found = by_name.find(name);
    if (found == by_name.end()) fail((tables.folder / "scene.json").string(), "has no scene '" + name + "'");
    const std::size_t first = samples.size();
    for (RowIndex i = found->second; i >= 0; i = at(tables.samples, i).next) {
      if (samples.size() - first >= tables.samples.size()) {
        fail((tables.folder / "sample.json").string(), "the samples of scene '" + name + "' run in a circle (field 'next')");
      }
      samples.push_back(i);
    }
  }
  return samples;
}

}  // namespace bevfusion
