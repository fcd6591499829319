// SPDX-License-Identifier: Apache-2.0
// Where the car was and will be, how fast it goes and where its route leads: by hand, and against the synthetic scenes' own
// drives.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>

#include "bevfusion/driving/car_state.hpp"
#include "bevfusion/driving/waypoints.hpp"
#include "bevfusion/nuscenes/can_bus.hpp"
#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/ego_motion.hpp"
#include "bevfusion/synth/sensor_rig.hpp"
#include "bevfusion/tests/support/refusal.hpp"
#include "bevfusion/tests/support/synthetic_set.hpp"
#include "support/catch.hpp"

using namespace bevfusion;
using bevfusion::testing::has;
using bevfusion::testing::refusal;

namespace {

RigidTransform pose(double x, double y, double degrees) { return {rotation_about_z(degrees * pi / 180), {x, y, 0}}; }

/// One sample, whose LiDAR has files at these times (s) and poses; the key frame is file `key`.
Tables tables_of(const std::vector<std::pair<double, RigidTransform>>& files, std::size_t key) {
  Tables tables;
  tables.scenes.emplace_back();
  tables.logs.emplace_back();
  tables.scenes[0].log = 0;
  tables.calibrations.emplace_back();
  tables.samples.emplace_back();
  tables.samples[0].scene = 0;
  tables.samples[0].data[static_cast<std::size_t>(Channel::lidar_top)] = static_cast<RowIndex>(key);
  for (std::size_t i = 0; i < files.size(); ++i) {
    SampleDataRow row;
    row.timestamp = std::llround(1e6 * files[i].first);
    row.ego_pose = static_cast<RowIndex>(i);
    row.calibration = 0;
    row.previous = static_cast<RowIndex>(i) - 1;
    row.next = i + 1 < files.size() ? static_cast<RowIndex>(i + 1) : -1;
    tables.sample_data.push_back(row);
    tables.ego_poses.push_back(files[i].second);
  }
  tables.samples[0].timestamp = tables.sample_data[key].timestamp;
  return tables;
}

}  // namespace

TEST_CASE("between two poses the car is in proportion, and beyond the last nowhere", "[bevfusion][driving]") {
  const Tables tables = tables_of({{10, pose(0, 0, 0)}, {10.5, pose(2, 1, 90)}, {11.5, pose(9, 9, 90)}}, 0);
  const auto half = ego_pose_after(tables, 0, 0.25);
  REQUIRE(half);
  CHECK(half->translation.isApprox(Eigen::Vector3d(1, 0.5, 0)));
  CHECK(yaw_of(half->rotation) == Approx(pi / 4));
  const auto quarter = ego_pose_after(tables, 0, 0.125);
  CHECK(yaw_of(quarter->rotation) == Approx(pi / 8));
  CHECK(ego_pose_after(tables, 0, 0.5)->translation == Eigen::Vector3d(2, 1, 0));
  CHECK_FALSE(ego_pose_after(tables, 0, 1.0));  // a second between two poses
  CHECK(ego_pose_after(tables, 0, 1.0, 1.0)->translation.isApprox(Eigen::Vector3d(5.5, 5, 0)));
  CHECK(ego_pose_after(tables, 0, 1.5)->translation == Eigen::Vector3d(9, 9, 0));
  CHECK_FALSE(ego_pose_after(tables, 0, 1.6));
  CHECK_FALSE(ego_pose_after(tables, 0, -0.1));
  const Tables later = tables_of({{10, pose(0, 0, 0)}, {10.5, pose(2, 1, 90)}}, 1);
  CHECK(ego_pose_after(later, 0, -0.25)->translation.isApprox(Eigen::Vector3d(1, 0.5, 0)));
}

TEST_CASE("a chain of files that does not get later is refused", "[bevfusion][driving]") {
  Tables tables = tables_of({{10, pose(0, 0, 0)}, {10.5, pose(2, 1, 90)}}, 0);
  tables.sample_data[1].next = 0;
  CHECK(has(refusal<DataError>([&] { ego_pose_after(tables, 0, 3); }), "not later"));
}

TEST_CASE("the speed is that of the way until now, along the heading", "[bevfusion][driving]") {
  // 0.3 s ago is still looked at, 0.5 s ago not; what comes later never.
  const Tables tables = tables_of(
      {{9.5, pose(-50, 0, 0)}, {9.7, pose(-3, 0, 0)}, {9.9, pose(-0.5, 0, 0)}, {10, pose(0, 4, 0)}, {10.1, pose(99, 0, 0)}}, 3);
  CHECK(speed_at(tables, 0).value() == Approx(10));
  CHECK(speed_at(tables_of({{9.5, pose(2, 0, 180)}, {10, pose(0, 0, 180)}}, 1), 0).value() == Approx(4));
  CHECK(speed_at(tables_of({{9.5, pose(2, 0, 0)}, {10, pose(0, 0, 0)}}, 1), 0).value() == Approx(-4));
  CHECK_FALSE(speed_at(tables_of({{10, pose(0, 0, 0)}, {10.5, pose(2, 0, 0)}}, 0), 0));
  CHECK_FALSE(speed_at(tables_of({{9, pose(0, 0, 0)}, {10, pose(2, 0, 0)}}, 1), 0));
}

TEST_CASE("synthetic scenes drive where their files say", "[bevfusion][driving]") {
  const SmallSet& set = small();
  for (int s = 0; s < set.options.scenes; ++s) {
    const SynthScene scene = make_scene(set.options, s);
    for (int i = 0; i < set.options.samples; ++i) {
      const RowIndex row = sample_of(set, s, i);
      for (const double ahead : {0.0, 0.1, 0.27, 0.5, 1.0}) {
        const auto there = ego_pose_after(set.tables, row, ahead);
        if (0.5 * i + ahead > 0.5 * (set.options.samples - 1)) {
          CHECK_FALSE(there);
          continue;
        }
        REQUIRE(there);
        const RigidTransform true_pose = scene.global_from_ego(0.5 * i + ahead);
        // Chords of 1/6 s at most 10 m/s: sagitta v^2 t^2 / (8 r), with r above 25 m, and the sway.
        CHECK((there->translation - true_pose.translation).norm() < 0.02);
        CHECK(std::abs(wrap_angle(yaw_of(there->rotation) - yaw_of(true_pose.rotation))) < 0.01);
      }
      const double now = 0.5 * i;
      const double before = now - 1.0 / 6;  // two sweeps before each key frame; the older is 1/3 s ago
      const Eigen::Vector3d way = scene.global_from_ego(now).translation - scene.global_from_ego(before).translation;
      const double expected = way.dot(scene.global_from_ego(now).rotation.col(0)) * 6;
      REQUIRE(speed_at(set.tables, row));
      CHECK(speed_at(set.tables, row).value() == Approx(expected).margin(1e-4));
    }
    const auto way = driven_waypoints(set.tables, sample_of(set, s, 0));
    REQUIRE(way);
    const RigidTransform global_from_lidar = scene.global_from_ego(0) * ego_from_sensor(Channel::lidar_top);
    for (std::size_t k = 0; k < waypoint_count; ++k) {
      const Eigen::Vector3d moved = scene.global_from_ego(waypoint_times[k]).translation - scene.global_from_ego(0).translation;
      CHECK(((global_from_lidar.rotation.transpose() * moved).head<2>() - (*way)[k]).norm() < 1e-6);
      CHECK(std::abs((*way)[k].x()) <= std::abs((*way)[k].y()) + 0.5);  // the car goes forward, along y
    }
    for (int i = 1; i < set.options.samples; ++i) {
      CHECK_FALSE(driven_waypoints(set.tables, sample_of(set, s, i)));  // the scene ends within 1.5 s
    }
  }
}

TEST_CASE("a place along a route is found from its nearest point", "[bevfusion][driving]") {
  const std::vector<Eigen::Vector2d> route = {{0, 0}, {10, 0}, {10, 0}, {10, 20}};
  CHECK(place_along(route, {4, 1}, 3).value().isApprox(Eigen::Vector2d(7, 0)));
  CHECK(place_along(route, {4, -1}, 10).value().isApprox(Eigen::Vector2d(10, 4)));
  CHECK(place_along(route, {-2, 0}, 0.5).value().isApprox(Eigen::Vector2d(0.5, 0)));
  CHECK(place_along(route, {11, 5}, 15).value().isApprox(Eigen::Vector2d(10, 20)));
  CHECK_FALSE(place_along(route, {11, 5}, 15.1));
  CHECK_FALSE(place_along(route, {4, 6.1}, 3, 5));  // 6 m from the second leg
  CHECK_FALSE(place_along({}, {0, 0}, 1));
}

TEST_CASE("a route is read where it is, and refused where it is damaged", "[bevfusion][driving]") {
  const bevfusion::testing::TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "can_bus" / "scene-0007_route.json";
  CHECK(read_route(folder.path(), "scene-0007").empty());
  std::filesystem::create_directories(file.parent_path());
  const auto write = [&](const std::string& text) { std::ofstream(file) << text; };
  write("[[1, 2.5], [3, -4]]");
  CHECK(read_route(folder.path(), "scene-0007") == std::vector<Eigen::Vector2d>{{1, 2.5}, {3, -4}});
  write("[[1, 2], [3]]");
  CHECK(has(refusal<DataError>([&] { read_route(folder.path(), "scene-0007"); }), "place 1"));
  write("[[1, 2], [3, 4");
  CHECK(has(refusal<DataError>([&] { read_route(folder.path(), "scene-0007"); }), "scene-0007_route.json: is no JSON"));
  write("{\"a\": 1}");
  CHECK(has(refusal<DataError>([&] { read_route(folder.path(), "scene-0007"); }), "wants a list"));
}

TEST_CASE("a car tells front, speed and route, turned as its surroundings are", "[bevfusion][driving]") {
  CarState state;
  state.front = {0, 1};
  state.speed = 5;
  state.route = Eigen::Vector2d(3, 12);
  CHECK(state.numbers() == std::array<float, 7>{0, 1, 0.5F, 1, 0.3F, 1.2F, 1});
  Eigen::Matrix2d turned;  // to the left by 90 degrees, twice as large
  turned << 0, -2, 2, 0;
  const auto numbers = state.numbers(turned);
  CHECK(numbers[0] == Approx(-1));
  CHECK(numbers[1] == Approx(0).margin(1e-7));
  CHECK(numbers[2] == Approx(1));
  CHECK(numbers[4] == Approx(-2.4));
  CHECK(numbers[5] == Approx(0.6));
  CHECK(CarState().numbers() == std::array<float, 7>{0, 1, 0, 0, 0, 0, 0});
}

TEST_CASE("a car's body stands where it comes to, and hits what is there then", "[bevfusion][driving]") {
  KeyFrame frame;  // the LiDAR 1 m before the rear axle, its y where the car heads
  frame.ego_from_lidar = {rotation_about_z(-pi / 2), {1, 0, 2}};
  const auto bodies = bodies_at({Eigen::Vector2d(0, 4), Eigen::Vector2d(0, 4.1), Eigen::Vector2d(-3, 4.1)}, frame);
  CHECK(bodies[0].center.isApprox(Eigen::Vector2d(0, -1 + 4 + 1.4)));
  CHECK(bodies[0].yaw == Approx(pi / 2));
  CHECK(bodies[1].yaw == Approx(pi / 2));  // 0.1 m is no direction
  CHECK(std::abs(wrap_angle(bodies[2].yaw - pi)) < 1e-9);
  CHECK(bodies[2].center.isApprox(Eigen::Vector2d(-3 - 1.4, 3.1)));
  CHECK(2 * bodies[0].half_length == Approx(4.084));
  const MapGrid grid{10, 20};
  // Drivable: x of 0 ... 1 m; the body is 1.73 m wide.
  const auto off = off_road(bodies, grid, [](int i, int) { return i == 10; });
  CHECK(off[0].value());
  const auto on = off_road(bodies, grid, [](int i, int) { return i >= 9 && i <= 10; });
  CHECK_FALSE(on[0].value());
  CHECK(on[2].value());
  CHECK_FALSE(off_road(bodies, MapGrid{5, 20}, [](int, int) { return true; })[0]);  // its front is beyond the grid
}

TEST_CASE("collisions are with the boxes of the way-point's time", "[bevfusion][driving]") {
  const SmallSet& set = small();
  int boxes = 0;
  for (int s = 0; s < set.options.scenes; ++s) {
    const RowIndex row = sample_of(set, s, 0);
    const KeyFrame frame = key_frame_of(set.tables, row);
    // The generator lets nothing come near the car on its way.
    for (const auto& hit :
         collisions(bodies_at(driven_waypoints(set.tables, row).value(), frame), set.tables, row, standard_boxes())) {
      REQUIRE(hit);
      CHECK_FALSE(*hit);
    }
    // A body put onto an object of the next sample is hit then, by the generator's own knowledge of it.
    const SynthScene scene = make_scene(set.options, s);
    const RigidTransform lidar_from_global = (scene.global_from_ego(0) * ego_from_sensor(Channel::lidar_top)).inverse();
    for (const ObjectState& state : scene.objects_at(1.0, 40)) {
      const Eigen::Vector2d there = (lidar_from_global * state.center).head<2>();
      std::array<Footprint, waypoint_count> bodies;
      bodies.fill({there, 0.1, 0.1, 0});
      CHECK(collisions(bodies, set.tables, row, standard_boxes())[1].value());
      ++boxes;
    }
    const auto last = collisions({}, set.tables, sample_of(set, s, set.options.samples - 1), standard_boxes());
    CHECK_FALSE(last[0]);  // there is no later sample
  }
  CHECK(boxes > 10);
}
