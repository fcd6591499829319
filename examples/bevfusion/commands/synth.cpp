// SPDX-License-Identifier: Apache-2.0
// Writes a synthetic data set in nuScenes' format.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "bevfusion/synth/generate.hpp"

namespace {

// A first look for --tiny: it sets what the other options then override.
bool asks_for_tiny(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--tiny") return true;
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  const bool tiny = asks_for_tiny(argc, argv);
  bevfusion::SynthOptions o = tiny ? bevfusion::SynthOptions::tiny() : bevfusion::SynthOptions();
  CLI::App app(
      "Writes synthetic driving scenes in nuScenes' format: tables, LiDAR sweeps, six cameras, maps.\n"
      "The same seed and options give the same bytes.");
  std::string out;
  bool no_base_map = false;
  bool tiny_flag = false;
  app.add_option("--out", out, "Folder of the data set; made where it is not there")->required();
  app.add_flag("--tiny", tiny_flag, "Defaults of the tiny configuration: 192 x 108 pictures, 180 firings, fewer objects");
  app.add_option("--scenes", o.scenes, "Scenes, each in a town of its own")->capture_default_str();
  app.add_option("--samples", o.samples, "Key frames a scene, 0.5 s apart")->capture_default_str();
  app.add_option("--sweeps", o.sweeps, "LiDAR sweeps before each key frame (0 ... 9)")->capture_default_str();
  app.add_option("--seed", o.seed, "Seed")->capture_default_str();
  app.add_option("--validation-share", o.validation_share, "Share of scenes in split val")->capture_default_str();
  app.add_option("--version", o.version, "Name of the tables' folder")->capture_default_str();
  app.add_option("--threads", o.threads, "Threads; 0: all")->capture_default_str();
  app.add_flag("--no-base-map", no_base_map, "Leave out the PNG of the drivable area");

  const char* world = "World";
  app.add_option("--fewest-objects", o.fewest_objects, "Objects within reach, at least")->capture_default_str()->group(world);
  app.add_option("--most-objects", o.most_objects, "Objects within reach, at most")->capture_default_str()->group(world);
  app.add_option("--object-reach", o.object_reach, "Objects lie within this many metres of the car's way, along the roads")
      ->capture_default_str()
      ->group(world);
  app.add_option("--junction-reach", o.junction_reach, "The first junction lies within this many metres")
      ->capture_default_str()
      ->group(world);
  app.add_option("--annotation-range", o.annotation_range, "Farther objects are not annotated, m")
      ->capture_default_str()
      ->group(world);

  const char* lidar = "LiDAR";
  app.add_option("--azimuths", o.azimuths, "Firings a turn")->capture_default_str()->group(lidar);
  app.add_option("--lidar-range", o.lidar_range, "Range, m")->capture_default_str()->group(lidar);
  app.add_option("--range-noise", o.range_noise, "Standard deviation of a range, m")->capture_default_str()->group(lidar);
  app.add_option("--drop-out", o.drop_out, "Share of returns lost")->capture_default_str()->group(lidar);
  app.add_option("--intensity-semantics", o.intensity_semantics, "How much the ground's intensity tells of paint, 0 ... 1")
      ->capture_default_str()
      ->group(lidar);
  app.add_option("--curb", o.curb, "Height of walkways above the road, m")->capture_default_str()->group(lidar);
  app.add_flag("--car-returns", o.car_returns, "Write returns from the car's own body")->group(lidar);
  app.add_flag("--misses", o.misses, "Write firings without a return as points at the origin")->group(lidar);

  const char* cameras = "Cameras";
  app.add_option("--image-scale", o.image_scale, "Size of pictures, of 1600 x 900")->capture_default_str()->group(cameras);
  app.add_option("--supersample", o.supersample, "Rays a pixel along each side")->capture_default_str()->group(cameras);
  app.add_option("--fog", o.fog, "Distance over which contrast falls to 1/e, m; 0: clear")->capture_default_str()->group(cameras);
  app.add_option("--least-gain", o.least_gain, "Brightness of a scene, at least")->capture_default_str()->group(cameras);
  app.add_option("--most-gain", o.most_gain, "Brightness of a scene, at most")->capture_default_str()->group(cameras);
  app.add_option("--image-noise", o.image_noise, "Standard deviation of a pixel, of 0 ... 1")
      ->capture_default_str()
      ->group(cameras);
  app.add_option("--jpeg-quality", o.jpeg_quality, "1 ... 100; 0: PPM")->capture_default_str()->group(cameras);
  CLI11_PARSE(app, argc, argv);
  o.out = out;
  o.base_map = !no_base_map;

  try {
    const bevfusion::SynthReport report = bevfusion::generate(o, [](int done, int all) {
      if (done % 10 == 0 || done == all) std::fprintf(stderr, "\r%d of %d samples", done, all);
    });
    std::fprintf(stderr, "\n");
    std::printf("%d scenes, %d samples, %lld boxes in %.1f s (%.1f samples/s): %s\n", report.scenes, report.samples,
                static_cast<long long>(report.annotations), report.seconds, report.samples / report.seconds, out.c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bevfusion_synth: %s\n", error.what());
    return 1;
  }
  return 0;
}
