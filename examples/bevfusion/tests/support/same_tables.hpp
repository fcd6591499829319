// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "bevfusion/nuscenes/tables.hpp"

namespace bevfusion::testing {

/// Numbers bit for bit: zeros of either sign differ.
template <typename Matrix>
bool same_bits(const Matrix& a, const Matrix& b) {
  return std::memcmp(a.data(), b.data(), sizeof(double) * static_cast<std::size_t>(a.size())) == 0;
}

inline bool same_row(const std::string& a, const std::string& b) { return a == b; }
inline bool same_row(const RigidTransform& a, const RigidTransform& b) {
  return same_bits(a.rotation, b.rotation) && same_bits(a.translation, b.translation);
}
inline bool same_row(const LogRow& a, const LogRow& b) {
  return a.token == b.token && a.location == b.location && a.base_map == b.base_map;
}
inline bool same_row(const SceneRow& a, const SceneRow& b) {
  return a.token == b.token && a.name == b.name && a.log == b.log && a.first_sample == b.first_sample &&
         a.last_sample == b.last_sample;
}
inline bool same_row(const SampleRow& a, const SampleRow& b) {
  return a.token == b.token && a.timestamp == b.timestamp && a.scene == b.scene && a.previous == b.previous && a.next == b.next &&
         a.data == b.data && a.first_annotation == b.first_annotation && a.annotation_count == b.annotation_count;
}
inline bool same_row(const SampleDataRow& a, const SampleDataRow& b) {
  return a.token == b.token && a.file == b.file && a.timestamp == b.timestamp && a.sample == b.sample &&
         a.ego_pose == b.ego_pose && a.calibration == b.calibration && a.previous == b.previous && a.next == b.next &&
         a.width == b.width && a.height == b.height && a.is_key_frame == b.is_key_frame;
}
inline bool same_row(const CalibrationRow& a, const CalibrationRow& b) {
  return a.token == b.token && a.channel == b.channel && a.used == b.used && same_row(a.ego_from_sensor, b.ego_from_sensor) &&
         same_bits(a.intrinsic, b.intrinsic);
}
inline bool same_row(const InstanceRow& a, const InstanceRow& b) { return a.token == b.token && a.category == b.category; }
inline bool same_row(const AnnotationRow& a, const AnnotationRow& b) {
  return a.token == b.token && a.sample == b.sample && a.instance == b.instance && a.previous == b.previous && a.next == b.next &&
         same_bits(a.translation, b.translation) && same_bits(a.size, b.size) && same_bits(a.rotation, b.rotation) &&
         a.attribute == b.attribute && a.visibility == b.visibility && a.lidar_points == b.lidar_points &&
         a.radar_points == b.radar_points;
}

template <typename Row>
std::string difference(const char* table, const std::vector<Row>& a, const std::vector<Row>& b) {
  if (a.size() != b.size()) return std::string(table) + " are " + std::to_string(a.size()) + " and " + std::to_string(b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!same_row(a[i], b[i])) return std::string(table) + " differ in row " + std::to_string(i);
  }
  return "";
}

/// Where the first difference is; empty where everything is the same, each number bit for bit.
inline std::string difference(const Tables& a, const Tables& b) {
  if (a.root != b.root || a.folder != b.folder) return "root or folder differ";
  const std::string each[] = {difference("categories", a.categories, b.categories),
                              difference("logs", a.logs, b.logs),
                              difference("scenes", a.scenes, b.scenes),
                              difference("samples", a.samples, b.samples),
                              difference("sample_data", a.sample_data, b.sample_data),
                              difference("ego_poses", a.ego_poses, b.ego_poses),
                              difference("calibrations", a.calibrations, b.calibrations),
                              difference("instances", a.instances, b.instances),
                              difference("annotations", a.annotations, b.annotations)};
  for (const std::string& found : each) {
    if (!found.empty()) return found;
  }
  return "";
}

}  // namespace bevfusion::testing
