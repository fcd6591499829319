// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <string>

#include <Eigen/Core>

#include "bevfusion/geometry/box.hpp"
#include "bevfusion/geometry/rigid_transform.hpp"
#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/metrics/detection_box.hpp"
#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/tables.hpp"

namespace bevfusion {

namespace detail {

template <class Vector>
std::array<double, 3> array_of(const Vector& v) {
  return {v.x(), v.y(), v.z()};
}

}  // namespace detail

/// What nuScenes evaluates a sample against: its annotations that are labels, in the file's order, its bicycle racks, and where
/// the ego vehicle was. Predictions are left empty. Throws DataError for a sample without a LIDAR_TOP key frame.
inline EvaluationSample evaluation_sample(const Tables& tables, RowIndex sample,
                                          const DetectionLabels& labels = standard_boxes()) {
  const SampleRow& row = tables.samples.at(static_cast<std::size_t>(sample));
  EvaluationSample out;
  out.token = to_string(row.token);
  if (row.key(Channel::lidar_top) < 0) {
    fail((tables.folder / "sample_data.json").string(), "sample " + out.token + " has no LIDAR_TOP key frame");
  }
  const SampleDataRow& lidar = tables.sample_data.at(static_cast<std::size_t>(row.key(Channel::lidar_top)));
  const RigidTransform& global_from_ego = tables.ego_poses.at(static_cast<std::size_t>(lidar.ego_pose));
  out.ego = {global_from_ego.translation.x(), global_from_ego.translation.y()};
  for (RowIndex i = row.first_annotation; i < row.first_annotation + row.annotation_count; ++i) {
    const AnnotationRow& annotation = tables.annotations.at(static_cast<std::size_t>(i));
    const InstanceRow& instance = tables.instances.at(static_cast<std::size_t>(annotation.instance));
    const std::string& category = tables.categories.at(static_cast<std::size_t>(instance.category));
    if (category == "static_object.bicycle_rack") {
      out.bicycle_racks.push_back(
          {detail::array_of(annotation.translation), detail::array_of(annotation.size), quaternion_of(annotation.rotation)});
    }
    const auto detection_class = class_of_category(labels, category);
    if (!detection_class) {
      continue;
    }
    const Eigen::Vector2d velocity = velocity_of(tables, i);
    DetectionBox box;
    box.translation = detail::array_of(annotation.translation);
    box.size = detail::array_of(annotation.size);
    box.rotation = quaternion_of(annotation.rotation);
    box.velocity = {velocity.x(), velocity.y()};
    box.detection_class = *detection_class;
    box.attribute = annotation.attribute;
    box.point_count = annotation.lidar_points + annotation.radar_points;
    out.truth.push_back(box);
  }
  return out;
}

/// A predicted box of the LIDAR_TOP frame in the global frame, as nuScenes wants it submitted. A box without an attribute gets
/// the one that its class and speed suggest.
inline DetectionBox submitted_box(const Box3D& box, double score, const RigidTransform& global_from_lidar,
                                  const DetectionLabels& labels = standard_boxes()) {
  const Eigen::Vector3d velocity = global_from_lidar.rotation * Eigen::Vector3d(box.velocity.x(), box.velocity.y(), 0);
  DetectionBox out;
  out.translation = detail::array_of(global_from_lidar * box.center);
  out.size = detail::array_of(box.size);
  out.rotation = quaternion_of(global_from_lidar.rotation * rotation_about_z(box.yaw));
  out.velocity = {velocity.x(), velocity.y()};
  out.detection_class = box.label;
  out.attribute =
      box.attribute == Attribute::none ? attribute_by_speed(labels.at(index_of(box.label)), box.velocity.norm()) : box.attribute;
  out.score = score;
  return out;
}

}  // namespace bevfusion
