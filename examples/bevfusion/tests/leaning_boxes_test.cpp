// SPDX-License-Identifier: Apache-2.0
// An annotation is upright in the world, not in the frame of a LiDAR that is mounted with a lean: pictures show it where the
// devkit would draw it, worked out here with quaternions alone.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "bevfusion/loading/bev_augmentation.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/pictures/bev_picture.hpp"
#include "bevfusion/pictures/camera_picture.hpp"
#include "support/catch.hpp"

using namespace bevfusion;

namespace {

using Quaternion = std::array<double, 4>;  // w, x, y, z
using Point = std::array<double, 3>;

Quaternion product(const Quaternion& a, const Quaternion& b) {
  return {a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3], a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
          a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1], a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0]};
}

Quaternion conjugate(const Quaternion& q) { return {q[0], -q[1], -q[2], -q[3]}; }

Quaternion about(int axis, double angle) {
  Quaternion q = {std::cos(angle / 2), 0, 0, 0};
  q[static_cast<std::size_t>(axis) + 1] = std::sin(angle / 2);
  return q;
}

Point turned(const Quaternion& q, const Point& p) {
  const Quaternion r = product(product(q, {0, p[0], p[1], p[2]}), conjugate(q));
  return {r[1], r[2], r[3]};
}

Point sum(const Point& a, const Point& b) { return {a[0] + b[0], a[1] + b[1], a[2] + b[2]}; }
Point difference(const Point& a, const Point& b) { return {a[0] - b[0], a[1] - b[1], a[2] - b[2]}; }

/// A frame in another one: what sensor and ego poses are in the tables.
struct Pose {
  Quaternion rotation;
  Point translation;

  RigidTransform transform() const { return {rotation_of(rotation), {translation[0], translation[1], translation[2]}}; }
};

// A LiDAR that leans by 1.8 degrees to the front and 1.2 to the left, a camera that looks ahead, and a car on a slope of 2
// degrees.
const Pose ego = {product(about(2, 0.7), about(1, 0.035)), {400, 1100, 3}};
const Pose lidar = {product(about(2, -pi / 2), product(about(0, -0.0314), about(1, 0.0209))), {0.9, 0, 1.8}};
const Pose camera = {{0.5, -0.5, 0.5, -0.5}, {1.7, 0, 1.5}};
const Pose annotated = {about(2, 2.4), {423, 1121, 3.2}};
const Point size = {2.5, 11, 3.6};  // width, length, height
constexpr double focal = 1266;

Tables tilted_scene() {
  Tables tables;
  tables.categories = {"vehicle.truck"};
  tables.logs.resize(1);
  tables.scenes.resize(1);
  tables.scenes[0].log = 0;
  tables.scenes[0].first_sample = tables.scenes[0].last_sample = 0;
  tables.ego_poses = {ego.transform()};
  tables.calibrations.resize(2);
  tables.calibrations[0].ego_from_sensor = lidar.transform();
  tables.calibrations[1].channel = Channel::cam_front;
  tables.calibrations[1].ego_from_sensor = camera.transform();
  tables.calibrations[1].intrinsic << focal, 0, 800, 0, focal, 450, 0, 0, 1;
  tables.sample_data.resize(2);
  for (RowIndex i = 0; i < 2; ++i) {
    SampleDataRow& data = tables.sample_data[static_cast<std::size_t>(i)];
    data.sample = data.ego_pose = 0;
    data.calibration = i;
    data.is_key_frame = true;
  }
  tables.sample_data[1].width = 1600;
  tables.sample_data[1].height = 900;
  tables.samples.resize(1);
  tables.samples[0].scene = 0;
  tables.samples[0].data[static_cast<std::size_t>(Channel::lidar_top)] = 0;
  tables.samples[0].data[static_cast<std::size_t>(Channel::cam_front)] = 1;
  tables.samples[0].annotation_count = 1;
  tables.instances.resize(1);
  tables.instances[0].category = 0;
  tables.annotations.resize(1);
  tables.annotations[0].sample = tables.annotations[0].instance = 0;
  tables.annotations[0].translation = annotated.transform().translation;
  tables.annotations[0].rotation = annotated.transform().rotation;
  tables.annotations[0].size = {size[0], size[1], size[2]};
  return tables;
}

/// The eight corners in the world, as the devkit's Box.corners() has them.
std::vector<Point> world_corners() {
  std::vector<Point> corners;
  for (const double x : {0.5, -0.5}) {
    for (const double y : {0.5, -0.5}) {
      for (const double z : {0.5, -0.5}) {
        corners.push_back(sum(annotated.translation, turned(annotated.rotation, {x * size[1], y * size[0], z * size[2]})));
      }
    }
  }
  return corners;
}

Point into(const Pose& pose, const Point& p) { return turned(conjugate(pose.rotation), difference(p, pose.translation)); }

constexpr Colour red = {255, 0, 0};

}  // namespace

TEST_CASE("true boxes stand upright in the world where the LiDAR leans", "[pictures]") {
  const KeyFrame frame = key_frame_of(tilted_scene(), 0);
  REQUIRE(frame.boxes.size() == 1);

  std::array<double, 4> expected = {1e9, 1e9, -1e9, -1e9};
  for (const Point& corner : world_corners()) {
    const Point p = into(camera, into(ego, corner));
    const double u = focal * p[0] / p[2] + 800;
    const double v = focal * p[1] / p[2] + 450;
    expected = {std::min(expected[0], u), std::min(expected[1], v), std::max(expected[2], u), std::max(expected[3], v)};
  }
  REQUIRE((expected[0] > 0 && expected[1] > 0 && expected[2] < 1600 && expected[3] < 900));

  SECTION("its corners are those of the annotation") {
    std::vector<Point> in_lidar;
    for (const Point& corner : world_corners()) in_lidar.push_back(into(lidar, into(ego, corner)));
    for (const Eigen::Vector3d& corner : corners_of(frame.boxes[0])) {
      double nearest = 1e9;
      for (const Point& p : in_lidar) nearest = std::min(nearest, (corner - Eigen::Vector3d(p[0], p[1], p[2])).norm());
      CHECK(nearest < 1e-9);
    }
  }
  SECTION("a camera's picture shows them there") {
    Image image(1600, 900);
    draw_boxes(image, frame.cameras[static_cast<std::size_t>(Channel::cam_front)].view, frame.boxes, red, 1);
    std::array<int, 4> drawn = {1600, 900, -1, -1};
    for (int v = 0; v < 900; ++v) {
      for (int u = 0; u < 1600; ++u) {
        if (image.pixel(u, v)[0] == 255) {
          drawn = {std::min(drawn[0], u), std::min(drawn[1], v), std::max(drawn[2], u), std::max(drawn[3], v)};
        }
      }
    }
    for (std::size_t side = 0; side < 4; ++side) CHECK(drawn[side] == Approx(expected[side]).margin(1.5));
  }
  SECTION("seen from above, its outline is the section through its middle") {
    BevPicture picture({50, 2000});  // 5 cm a pixel
    picture.draw(frame.boxes, red, 1);
    std::array<double, 4> section = {1e9, 1e9, -1e9, -1e9};
    for (const double x : {0.5, -0.5}) {
      for (const double y : {0.5, -0.5}) {
        const Point p =
            into(lidar, into(ego, sum(annotated.translation, turned(annotated.rotation, {x * size[1], y * size[0], 0}))));
        const double u = (p[0] + 50) * 20;
        const double v = (50 - p[1]) * 20;
        section = {std::min(section[0], u), std::min(section[1], v), std::max(section[2], u), std::max(section[3], v)};
      }
    }
    std::array<int, 4> drawn = {2000, 2000, -1, -1};
    for (int v = 0; v < 2000; ++v) {
      for (int u = 0; u < 2000; ++u) {
        if (picture.image().pixel(u, v)[1] == 0) {
          drawn = {std::min(drawn[0], u), std::min(drawn[1], v), std::max(drawn[2], u), std::max(drawn[3], v)};
        }
      }
    }
    for (std::size_t side = 0; side < 4; ++side) CHECK(drawn[side] == Approx(section[side]).margin(1.5));
  }
  SECTION("augmentation moves its corners as it moves points") {
    BevAugmentation augmentation;
    augmentation.rotation = 0.6;
    augmentation.scale = 1.1;
    augmentation.translation = {0.2, -0.1};
    augmentation.flip_x = true;
    std::vector<Box3D> boxes = frame.boxes;
    augmentation.apply(boxes);
    const auto before = corners_of(frame.boxes[0]);
    for (const Eigen::Vector3d& corner : corners_of(boxes[0])) {
      double nearest = 1e9;
      for (const Eigen::Vector3d& p : before) {
        const Eigen::Vector3d moved = augmentation.linear() * p + Eigen::Vector3d(0.2, -0.1, 0);
        nearest = std::min(nearest, (corner - moved).norm());
      }
      CHECK(nearest < 1e-9);
    }
  }
}

TEST_CASE("a predicted box stands upright in the LiDAR's frame, as it is submitted", "[pictures]") {
  Box3D box;
  box.center = {3, 20, -1};
  box.size = {2, 4, 1.5};
  box.yaw = 0.4;
  CHECK((box.pose().rotation - rotation_about_z(0.4)).norm() < 1e-15);
}
