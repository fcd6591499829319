// SPDX-License-Identifier: Apache-2.0
// Driving in the synthetic world: cars, lights, planned drives, and the files that tell of them.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "bevfusion/geometry/footprint.hpp"
#include "bevfusion/nuscenes/can_bus.hpp"
#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/synth/generate.hpp"
#include "bevfusion/synth/synth_knobs.hpp"
#include "bevfusion/synth/synth_scene.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "bevfusion/tests/support/refusal.hpp"
#include "support/catch.hpp"

using namespace bevfusion;
using bevfusion::testing::has;
using bevfusion::testing::refusal;

namespace {

SynthOptions driving_options() {
  SynthOptions options = SynthOptions::tiny();
  options.driving = true;
  options.samples = 25;
  options.seed = 21;
  return options;
}

}  // namespace

TEST_CASE("a car goes by its pedals and turns by its wheel", "[bevfusion][driving]") {
  VehicleState car;
  advance(car, {0, 1, 0}, 1);
  // v' = 3 - v / 20 from 0: v = 60 (1 - exp(-t / 20)), s = 60 (t - 20 (1 - exp(-t / 20))).
  CHECK(car.speed == Approx(60 * (1 - std::exp(-0.05))).epsilon(1e-3));
  CHECK(car.pose.position.x() == Approx(60 * (1 - 20 * (1 - std::exp(-0.05)))).epsilon(1e-2));
  CHECK(car.pose.position.y() == 0);
  advance(car, {0, 0, 1}, 5);
  CHECK(car.speed == 0);
  const Eigen::Vector2d stopped = car.pose.position;
  advance(car, {0, 0, 1}, 5);
  CHECK(car.pose.position == stopped);

  // A quarter circle of 10 m to the left, at a speed that the throttle holds.
  VehicleState turning;
  turning.speed = 5;
  const Controls hold = controls_for(0.1, 0, 5);
  CHECK(hold.steer == Approx(std::atan(0.2588) * 180 / pi * 16 / 780));
  advance(turning, hold, 0.5 * pi * 10 / 5);
  CHECK(turning.speed == Approx(5));
  CHECK(turning.pose.position.x() == Approx(10).margin(0.01));
  CHECK(turning.pose.position.y() == Approx(10).margin(0.01));
  CHECK(turning.pose.yaw == Approx(pi / 2).margin(1e-3));
  CHECK(curvature_of(controls_for(-0.05, 0, 5).steer) == Approx(-0.05));
}

TEST_CASE("controls give the acceleration that they are for", "[bevfusion][driving]") {
  for (const double wanted : {-4.0, -1.0, 0.0, 0.5, 1.8}) {
    VehicleState car;
    car.speed = 6;
    const Controls controls = controls_for(0, wanted, 6);
    CHECK((controls.throttle == 0 || controls.brake == 0));
    advance(car, controls, 0.01);
    CHECK((car.speed - 6) / 0.01 == Approx(wanted).margin(1e-6));
  }
  CHECK(controls_for(0, 0, 0).brake > 0);  // a standing car is held
}

TEST_CASE("lights of a junction's two roads are never open at once, and all open in turn", "[bevfusion][driving]") {
  int junctions = 0;
  for (int s = 0; s < 10; ++s) {
    const SynthScene scene = make_scene(driving_options(), s);
    const std::vector<TrafficLight>& lights = scene.drive->lights;
    REQUIRE(lights.size() == 4 * scene.town.junctions.size());
    for (std::size_t j = 0; j < scene.town.junctions.size(); ++j) {
      ++junctions;
      std::set<LightState> of_main, of_cross;
      LightState before = lights[4 * j].at(0);
      for (double time = 0; time < 30; time += 0.1) {
        const LightState main = lights[4 * j].at(time);
        const LightState cross = lights[4 * j + 2].at(time);
        CHECK((main == LightState::red || cross == LightState::red));
        CHECK(main == lights[4 * j + 1].at(time));
        CHECK_FALSE((before == LightState::green && main == LightState::red));  // yellow lies between
        before = main;
        of_main.insert(main);
        of_cross.insert(cross);
      }
      CHECK(of_main.size() == 3);
      CHECK(of_cross.size() == 3);
      // The lamps stand beside the road, outside of what is drivable, one before and one after the box.
      const std::vector<Solid> solids = solids_of(lights[4 * j], 0);
      const double near = scene.town.main().locate(solids[0].center.head<2>()).s;
      const double far = scene.town.main().locate(solids[3].center.head<2>()).s;
      CHECK(near < scene.town.junctions[j].s);
      CHECK(far > scene.town.junctions[j].s);
    }
  }
  CHECK(junctions > 8);
}

TEST_CASE("planned drives keep to road, bends and lights", "[bevfusion][driving]") {
  const SynthOptions options = driving_options();
  int turns = 0;
  int waits = 0;
  for (int s = 0; s < 30; ++s) {
    const SynthScene scene = make_scene(options, s);
    const Drive& drive = *scene.drive;
    const double last = 0.5 * (options.samples - 1);
    double turned = 0;
    bool waited = false;
    for (double time = 0; time + Drive::step <= last; time += Drive::step) {
      const VehicleState now = drive.at(time);
      const VehicleState next = drive.at(time + Drive::step);
      INFO("scene " << s << " at " << time);
      for (const Eigen::Vector2d& place : places_of(car_footprint(now.pose.position, now.pose.yaw))) {
        REQUIRE(scene.town.classify(place).is(GroundClass::drivable_area));
      }
      const double way = (next.pose.position - now.pose.position).norm();
      CHECK(way == Approx(0.5 * Drive::step * (now.speed + next.speed)).margin(0.01));
      CHECK(std::abs(next.speed - now.speed) <= 5.01 * Drive::step);
      const double turn = wrap_angle(next.pose.yaw - now.pose.yaw);
      CHECK(std::abs(turn / Drive::step * now.speed) < 3.5);  // m/s^2 aside
      turned += turn;
      const double here = drive.route.nearest(now.pose.position, 0, drive.route.length());
      const double there = drive.route.nearest(next.pose.position, 0, drive.route.length());
      for (const Drive::Stop& stop : drive.stops) {
        const double line = stop.s + line_clearance;
        CHECK_FALSE((here < line && there >= line && stop.light.at(time) == LightState::red));
        waited = waited || (now.speed < 0.1 && stop.light.at(time) == LightState::red && std::abs(stop.s - here) < 2);
      }
    }
    turns += turned > 1 ? 1 : 0;
    waits += waited ? 1 : 0;
    // Whoever is there keeps away from the car.
    for (double time = 0; time <= last; time += 0.25) {
      const VehicleState now = drive.at(time);
      for (const ObjectState& object : scene.objects_at(time, 30)) {
        CHECK_FALSE(overlap(car_footprint(now.pose.position, now.pose.yaw),
                            {object.center.head<2>(), 0.5 * object.size.y(), 0.5 * object.size.x(), object.yaw}));
      }
    }
  }
  CHECK(turns >= 3);
  CHECK(waits >= 5);
}

TEST_CASE("what the driver does is written as the bus has it, and the lights beside it", "[bevfusion][driving]") {
  const bevfusion::testing::TemporaryFolder folder;
  SynthOptions options = driving_options();
  options.out = folder.path();
  options.samples = 8;
  options.scenes = 4;
  options.sweeps = 1;
  options.supersample = 1;
  generate(options);
  const Tables tables = read_tables(options.out, options.version);
  int red = 0;
  int none = 0;
  for (int s = 0; s < options.scenes; ++s) {
    const SynthScene scene = make_scene(options, s);
    const std::vector<Eigen::Vector2d> route = read_route(options.out, scene.name);
    CHECK(route.size() > 40);
    for (int i = 0; i < options.samples; ++i) {
      const KeyFrame frame = key_frame_of(tables, static_cast<RowIndex>(s * options.samples + i));
      const VehicleState state = scene.drive->at(0.5 * i);
      const auto bus = read_bus(options.out, frame.scene, frame.timestamp);
      REQUIRE(bus);
      CHECK(bus->speed == Approx(state.speed).margin(0.005 / 3.6 + 1e-9));
      const Controls controls = scene.drive->controls_at(0.5 * i);
      CHECK(bus->controls.steer == Approx(controls.steer).margin(0.06 / 780));
      CHECK(bus->controls.throttle == Approx(controls.throttle).margin(0.0006));
      CHECK(bus->controls.brake == Approx(controls.brake).margin(0.5 / 126 + 1e-9));
      // Midway between two messages: their mean.
      const auto then = read_bus(options.out, frame.scene, frame.timestamp + 250'000);
      const auto next = read_bus(options.out, frame.scene, frame.timestamp + 500'000);
      REQUIRE(then);
      REQUIRE(next);
      CHECK(then->speed == Approx(0.5 * (bus->speed + next->speed)));
      // The pose in the tables is the drive's, on the route.
      CHECK((frame.global_from_ego.translation.head<2>() - state.pose.position).norm() < 1e-6);
      CHECK(place_along(route, state.pose.position, 0, 0.2).has_value());
      const auto light = read_light_ahead(options.out, frame.scene, frame.timestamp);
      REQUIRE(light);
      const double here = scene.drive->route.nearest(state.pose.position, 0, scene.drive->route.length());
      double nearest = 1e9;
      for (const Drive::Stop& stop : scene.drive->stops) {
        if (stop.s - here >= -1.5 && stop.s - here <= 50 && stop.s - here < nearest) {
          nearest = stop.s - here;
          CHECK(light->state == name_of(stop.light.at(0.5 * i)));
          CHECK(light->distance == Approx(nearest).margin(0.01));
        }
      }
      if (nearest > 50) CHECK(light->state == "none");
      none += light->state == "none" ? 1 : 0;
      red += light->state == "red" ? 1 : 0;
    }
    CHECK_FALSE(read_bus(options.out, scene.name, scene.start + 1'000'000'000));
    CHECK_FALSE(read_light_ahead(options.out, scene.name, scene.start + 123'456));
  }
  CHECK(red > 0);
  const SynthOptions read = read_synth_options(options.out / options.version / "synth.json");
  CHECK(read.driving);
  CHECK(read.azimuths == options.azimuths);
  CHECK(read.image_scale == options.image_scale);
  CHECK(read.most_objects == options.most_objects);
  CHECK(has(refusal<DataError>([&] { read_synth_options(options.out / "synth.json"); }), "bevfusion synth"));

  // Damaged files are named with what is wrong.
  const std::filesystem::path monitor = options.out / "can_bus" / "synth-0000_vehicle_monitor.json";
  std::ofstream(monitor) << R"([{"utime": 1, "vehicle_speed": 3, "steering": 0, "throttle": 0}])";
  CHECK(has(refusal<DataError>([&] { read_bus(options.out, "synth-0000", 1); }), "message 0: field 'brake' is no number"));
  for (const char* time : {"1.5", "-1", "1e300", "-9223372036854775808", "18446744073709551615"}) {
    std::ofstream(monitor) << R"([{"vehicle_speed": 3, "steering": 0, "throttle": 0, "brake": 0, "utime": )" << time << "}]";
    CHECK(has(refusal<DataError>([&] { read_bus(options.out, "synth-0000", 1); }), "message 0: field 'utime' is no time"));
  }
  const std::filesystem::path lights = options.out / "traffic_lights" / "synth-0000.json";
  std::ofstream(lights) << R"([{"utime": 5, "state": "blue"}])";
  CHECK(has(refusal<DataError>([&] { read_light_ahead(options.out, "synth-0000", 5); }), "'blue'"));
}

TEST_CASE("a data set without drives has neither bus, lights nor masks of pictures", "[bevfusion][driving]") {
  const bevfusion::testing::TemporaryFolder folder;
  SynthOptions options = SynthOptions::tiny();
  options.out = folder.path();
  options.scenes = 1;
  options.samples = 1;
  options.sweeps = 0;
  options.supersample = 1;
  generate(options);
  CHECK_FALSE(std::filesystem::exists(folder.path() / "can_bus"));
  CHECK_FALSE(std::filesystem::exists(folder.path() / "traffic_lights"));
  CHECK_FALSE(std::filesystem::exists(folder.path() / "camera_masks"));
  CHECK_FALSE(read_synth_options(options.out / options.version / "synth.json").driving);
  CHECK_FALSE(read_bus(folder.path(), "synth-0000", 1'600'000'000'000'000));
  CHECK_FALSE(read_light_ahead(folder.path(), "synth-0000", 1'600'000'000'000'000));
}
