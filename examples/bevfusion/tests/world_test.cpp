// SPDX-License-Identifier: Apache-2.0
// The synthetic world driven in: what its sensors see against files of the same scene, what counts as wrong, and that its own
// driver does nothing wrong.
#include <algorithm>
#include <cmath>

#include "bevfusion/driving/rollout.hpp"
#include "bevfusion/driving/rollout_picture.hpp"
#include "bevfusion/driving/world_sample.hpp"
#include "bevfusion/pictures/picture_colours.hpp"
#include "bevfusion/synth/generate.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "support/catch.hpp"

using namespace bevfusion;

namespace {

SynthOptions world_options() {
  SynthOptions options = SynthOptions::tiny();
  options.driving = true;
  options.samples = 25;
  options.seed = 21;
  options.azimuths = 60;
  options.supersample = 1;
  return options;
}

int count(const Rollout& rollout, Infraction what) {
  return static_cast<int>(std::count_if(rollout.events.begin(), rollout.events.end(),
                                        [what](const World::Event& event) { return event.what == what; }));
}

/// A scene without others, its driver on a free way for a while.
SynthScene empty_scene(const SynthOptions& options, int index) {
  SynthScene scene = make_scene(options, index);
  scene.traffic.objects.clear();
  return scene;
}

TrafficObject car_at(const GroundPose& pose, double speed) {
  TrafficObject object;
  object.size = {2, 4.5, 1.7};
  object.motion = Motion::straight(pose.position, pose.yaw, speed);
  return object;
}

}  // namespace

TEST_CASE("the world's sensors see at its beginning what the scene's files hold", "[bevfusion][driving]") {
  const bevfusion::testing::TemporaryFolder folder;
  SynthOptions options = world_options();
  options.out = folder.path();
  options.samples = 3;
  options.scenes = 2;
  options.range_noise = options.drop_out = options.image_noise = 0;  // drawn from other streams
  generate(options);
  const Tables tables = read_tables(options.out, options.version);
  LoadingOptions loading;
  loading.augment = false;
  loading.sweeps = 3;
  loading.image.width = 176;
  loading.image.height = 64;
  loading.image.fixed_resize = 0.12;
  const SampleLoader loader(tables, loading);
  for (int s = 0; s < options.scenes; ++s) {
    const auto row = static_cast<RowIndex>(s * options.samples);
    const TrainingSample read = loader.load(row, 0);
    World world(make_scene(options, s), options);
    const TrainingSample seen = sample_of(world, loading);
    REQUIRE(seen.points.size() == read.points.size());
    double apart = 0;
    for (std::size_t i = 0; i < read.points.size(); ++i) {
      const SweepPoint& a = seen.points[i];
      const SweepPoint& b = read.points[i];
      apart = std::max<double>(apart, std::abs(a.x - b.x) + std::abs(a.y - b.y) + std::abs(a.z - b.z) + std::abs(a.age - b.age));
    }
    CHECK(apart < 1e-3);
    for (std::size_t c = 0; c < camera_count; ++c) {
      REQUIRE(seen.cameras[c].present);
      CHECK(seen.cameras[c].image.rgb == read.cameras[c].image.rgb);
      CHECK(seen.cameras[c].camera_to_lidar.isApprox(read.cameras[c].camera_to_lidar, 1e-6));
      CHECK(seen.cameras[c].image_augmentation == read.cameras[c].image_augmentation);
      CHECK(seen.cameras[c].intrinsic.isApprox(read.cameras[c].intrinsic));
    }
    const CarState told = car_state_of(world);
    const CarState in_files = car_state_at(tables, row);
    CHECK(told.front.isApprox(in_files.front, 1e-9));
    REQUIRE(in_files.speed);
    CHECK(*told.speed == Approx(*in_files.speed).margin(1e-4));
    REQUIRE(in_files.route.has_value());
    REQUIRE(told.route.has_value());
    CHECK((*told.route - *in_files.route).norm() < 0.05);  // routes of 1 m pieces, begun at other places

    // A car of two cameras: theirs are the pictures, not those of the first two.
    TablesOptions two;
    two.cameras = {"CAM_BACK", "CAM_FRONT_LEFT"};
    const Tables of_two = read_tables(options.out, options.version, two);
    LoadingOptions slots = loading;
    slots.camera_slots = 2;
    const TrainingSample fewer = SampleLoader(of_two, slots).load(row, 0);
    const TrainingSample chosen = sample_of(world, slots, {Channel::cam_back, Channel::cam_front_left});
    for (std::size_t c = 0; c < 2; ++c) {
      CHECK(chosen.cameras[c].image.rgb == fewer.cameras[c].image.rgb);
      CHECK(chosen.cameras[c].camera_to_lidar.isApprox(fewer.cameras[c].camera_to_lidar, 1e-6));
    }
    CHECK(chosen.cameras[0].image.rgb != seen.cameras[0].image.rgb);
    CHECK_FALSE(chosen.cameras[2].present);
  }
}

TEST_CASE("the car's speed is what files with as many sweeps would say", "[bevfusion][driving]") {
  // Sweeps lie 0.5 / (n + 1) s apart: the earliest of the last 0.3 s counts, or the one before them.
  const std::pair<int, double> ago[] = {{0, 0.5}, {1, 0.25}, {2, 1.0 / 6}, {3, 0.25}, {4, 0.3}, {9, 0.3}};
  for (const auto& [sweeps, seconds] : ago) {
    SynthOptions options = world_options();
    options.sweeps = sweeps;
    SynthScene scene = empty_scene(options, 1);
    World world(scene, options);
    world.advance({0, 1, 0}, 0.4);  // speed changes, so that it matters since when
    const VehicleState now = world.car();
    const Eigen::Vector2d way = now.pose.position - world.at(world.time() - seconds).car.pose.position;
    CAPTURE(sweeps);
    CHECK(world.speed() == Approx(way.norm() / seconds).epsilon(1e-4));
  }
}

TEST_CASE("the scenes' own driver arrives, and does nothing wrong", "[bevfusion][driving]") {
  const SynthOptions options = world_options();
  int driven = 0;
  for (int s = 0; s < 12; ++s) {
    World world(make_scene(options, s), options);
    if (world.goal() < 20) continue;
    const Rollout out = drive_route(world, rule_driver);
    INFO(out.scene << ": " << out.end << " after " << out.seconds << " s, " << world.progress() << " of " << out.goal);
    CHECK(out.end == "arrived");
    CHECK(out.completion == Approx(1).margin(0.02));
    CHECK(out.events.empty());
    CHECK(out.score() == Approx(out.completion));
    CHECK(out.seconds < 0.5 * (options.samples - 1) + 3);
    ++driven;
  }
  CHECK(driven > 5);
}

TEST_CASE("a driver who sees no light passes it at red", "[bevfusion][driving]") {
  const SynthOptions options = world_options();
  int passed = 0;
  for (int s = 0; s < 20; ++s) {
    SynthScene scene = empty_scene(options, s);
    const Drive& drive = *scene.drive;
    if (drive.stops.empty() || drive.stops[0].s + 5 > drive.end) continue;
    World world(scene, options);
    double red_at = 0;
    // Steers along the route at 6 m/s whatever the light says.
    const Rollout out = drive_route(world,
                                    [&](const World& now) {
                                      Controls controls = rule_driver(now);
                                      const Controls blind = controls_for(0, (6 - now.car().speed) / 0.3, now.car().speed);
                                      controls.throttle = blind.throttle;
                                      controls.brake = blind.brake;
                                      return controls;
                                    },
                                    {0.05, 2, 10});
    int expected = 0;
    for (const Drive::Stop& stop : drive.stops) {
      for (std::size_t i = 1; i < out.way.size(); ++i) {
        const double before = drive.route.nearest(out.way[i - 1], 0, drive.route.length());
        const double after = drive.route.nearest(out.way[i], 0, drive.route.length());
        red_at = 0.05 * static_cast<double>(i);
        const bool red = stop.light.at(red_at) == LightState::red;
        expected += before < stop.s + line_clearance && after >= stop.s + line_clearance && red ? 1 : 0;
      }
    }
    CHECK(count(out, Infraction::red_light) == expected);
    CHECK(out.red_lights == expected);
    CHECK(out.score() == Approx(out.completion * std::pow(0.7, expected) * std::pow(0.6, out.collisions)));
    passed += expected;
  }
  CHECK(passed > 2);
}

TEST_CASE("whoever steers off the road is told so, and gives the route up", "[bevfusion][driving]") {
  const SynthOptions options = world_options();
  SynthScene scene = empty_scene(options, 1);
  scene.traffic.clutter.clear();
  World world(scene, options);
  const Rollout out = drive_route(world, [](const World&) { return Controls{0.05, 0.8, 0}; });
  CHECK(out.end == "far from the route");
  CHECK(out.left_road >= 1);
  CHECK(out.collisions == 0);
  CHECK(out.completion < 1);
  const Image picture = picture_of(world, out, 400);
  for (const int size : {200, 333, 400, 901}) {
    const Image other = picture_of(world, out, size);
    CHECK(std::max(other.width, other.height) == size);
  }
  int magenta = 0;
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) {
      magenta += std::equal(planned_colour.begin(), planned_colour.end(), picture.pixel(x, y)) ? 1 : 0;
    }
  }
  CHECK(magenta > 50);
}

TEST_CASE("what stands in the way is hit, and what moves waits", "[bevfusion][driving]") {
  const SynthOptions options = world_options();
  for (int s = 0; s < 12; ++s) {
    SynthScene scene = empty_scene(options, s);
    const Drive& drive = *scene.drive;
    if (drive.end - drive.start < 40) continue;
    scene.traffic.objects.push_back(car_at(drive.route.at(drive.start + 25), 0));
    World blocked(scene, options);
    const Rollout crash = drive_route(blocked, rule_driver);
    CHECK(crash.end == "collision");
    CHECK(crash.collisions == 1);
    // The front of the body is 3.44 m before the rear axle, the other's back 2.25 m before its middle.
    CHECK(blocked.progress() == Approx(25 - 2.25 - 3.44).margin(1.2));
    CHECK(crash.score() == Approx(0.6 * crash.completion));

    // The same car in full motion to the place from the side keeps 6 m away while ours is there.
    scene.traffic.objects.clear();
    GroundPose beside = drive.route.at(drive.start + 2);
    beside.position += 9 * Eigen::Vector2d(std::sin(beside.yaw), -std::cos(beside.yaw));
    beside.yaw += pi / 2;
    scene.traffic.objects.push_back(car_at(beside, 5));
    World crossed(scene, options);
    const double before = crossed.at(0).clocks[0];
    crossed.advance({0, 0, 1}, 6);  // stands
    CHECK(crossed.events().empty());
    CHECK(crossed.at(crossed.time()).clocks[0] - before < 3);
    return;
  }
  FAIL("no scene has a way of 40 m");
}

TEST_CASE("way-points are followed to where they lead", "[bevfusion][driving]") {
  // 6 m in the first second; the last point on a circle of 20 m to the left: (20 sin a, 20 (1 - cos a)), a = 9 / 20.
  Waypoints ahead;
  for (std::size_t k = 0; k < waypoint_count; ++k) {
    const double a = 6 * waypoint_times[k] / 20;
    ahead[k] = {20 * std::sin(a), 20 * (1 - std::cos(a))};
  }
  const Controls held = follow(ahead, 6);
  CHECK(curvature_of(held.steer) == Approx(0.05).epsilon(1e-3));
  CHECK(held.throttle == Approx(drag * 6 / full_throttle).margin(0.01));
  CHECK(follow(ahead, 3).throttle > 0.6);
  CHECK(follow(ahead, 9).brake > 0.5);
  ahead.fill(Eigen::Vector2d::Zero());
  CHECK(follow(ahead, 5).brake > 0.5);
  CHECK(follow(ahead, 5).steer == 0);
  CHECK(follow(ahead, 0).brake > 0);
}

TEST_CASE("a world needs a drive", "[bevfusion][driving]") {
  SynthOptions options = world_options();
  options.driving = false;
  CHECK_THROWS_AS(World(make_scene(options, 0), options), std::invalid_argument);
}
