// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/synth/driving_files.hpp"

#include <array>
#include <cmath>
#include <string>

#include "bevfusion/driving/controls.hpp"
#include "bevfusion/synth/json_table.hpp"

namespace bevfusion {

namespace {

/// Rounded to a resolution, as the bus sends it.
double to_step(double value, double steps) { return std::round(value * steps) / steps; }

void write_monitor(const SynthScene& scene, const std::string& file, int samples) {
  JsonWriter out(file);
  out.open('[');
  // 2 Hz, as on the bus, from a message before the first key frame to one after the last.
  for (int i = -1; i <= samples; ++i) {
    const double time = 0.5 * i;
    const VehicleState state = scene.drive->at(time);
    const Controls controls = scene.drive->controls_at(time);
    const double turn = state.speed * curvature_of(controls.steer) * 180 / pi;
    out.open('{').field("utime", scene.sample_time(i)).field("brake", std::lround(controls.brake * brake_scale));
    out.field("brake_switch", controls.brake > 0 ? 3 : 1).field("gear_position", 7).field("left_signal", 0);
    out.field("right_signal", 0).field("steering", to_step(controls.steer * wheel_lock, 10));
    out.field("throttle", std::lround(controls.throttle * throttle_scale));
    out.field("vehicle_speed", to_step(3.6 * state.speed, 100)).field("yaw_rate", to_step(turn, 10)).close('}');
  }
  out.close(']').finish();
}

void write_route(const SynthScene& scene, const std::string& file) {
  const Drive& drive = *scene.drive;
  JsonWriter out(file);
  out.open('[');
  // What lies around the scene's own part, as far as nuScenes' routes do.
  for (double s = 0; s <= std::min(drive.route.length(), drive.end + 50); s += 1) {
    const Eigen::Vector2d place = drive.route.at(s).position;
    out.value(std::array<double, 2>{to_step(place.x(), 1000), to_step(place.y(), 1000)});
  }
  out.close(']').finish();
}

void write_lights(const SynthScene& scene, const std::string& file, int samples) {
  const Drive& drive = *scene.drive;
  JsonWriter out(file);
  out.open('[');
  for (int i = 0; i < samples; ++i) {
    const double time = 0.5 * i;
    const double s = drive.route.nearest(drive.at(time).pose.position, 0, drive.route.length());
    const auto stop = drive.light_ahead(s, 50);
    out.open('{').field("utime", scene.sample_time(i));
    out.field("state", stop ? name_of(stop->light.at(time)) : std::string_view("none"));
    if (stop) out.field("distance", to_step(stop->s - s, 1000));
    out.close('}');
  }
  out.close(']').finish();
}

}  // namespace

void write_driving_files(const SynthScene& scene, const SynthOptions& options) {
  const std::string bus = (options.out / "can_bus" / scene.name).string();
  write_monitor(scene, bus + "_vehicle_monitor.json", options.samples);
  write_route(scene, bus + "_route.json");
  write_lights(scene, (options.out / "traffic_lights" / (scene.name + ".json")).string(), options.samples);
}

}  // namespace bevfusion
