// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/commands/synth_command.hpp"

#include <cstdio>
#include <memory>
#include <string>

#include "bevfusion/synth/generate.hpp"
#include "support/number_range.hpp"
#include "support/progress.hpp"

namespace bevfusion {
namespace {

template <class Number>
CLI::Option* number(CLI::App& app, const char* name, Number& value, const char* explain) {
  return app.add_option(name, value, explain)->check(example::number_within<Number>());
}

void add_options(CLI::App& app, SynthOptions& o) {
  number(app, "--scenes", o.scenes, "Scenes of splits train and val, each in a town of its own")->capture_default_str();
  number(app, "--samples", o.samples, "Key frames (annotated samples) per scene, 0.5 s apart")->capture_default_str();
  number(app, "--sweeps", o.sweeps, "LiDAR sweeps before each key frame (0 ... 9)")->capture_default_str();
  number(app, "--seed", o.seed, "Seed of everything that is drawn at random")->capture_default_str();
  number(app, "--validation-share", o.validation_share,
         "Share of the scenes that are in split val, for evaluation; the others are in train")
      ->capture_default_str();
  number(app, "--validation-scenes", o.validation_scenes, "So many scenes in split val instead; -1: by --validation-share")
      ->capture_default_str();
  number(app, "--test-scenes", o.test_scenes,
         "Scenes of split test, beside the others, which stay the same: choose on val, report on test")
      ->capture_default_str();
  app.add_option("--version", o.version, "Name of the folder that the tables go to, within --out")->capture_default_str();
  number(app, "--threads", o.threads, "Threads to use; 0: as many as there are cores")->capture_default_str();

  const char* world = "World";
  number(app, "--fewest-objects", o.fewest_objects, "Least number of objects in a scene")->capture_default_str()->group(world);
  number(app, "--most-objects", o.most_objects, "Largest number of objects in a scene")->capture_default_str()->group(world);
  number(app, "--object-reach", o.object_reach, "Objects lie within this many metres of the car's way, along the roads")
      ->capture_default_str()
      ->group(world);
  number(app, "--junction-reach", o.junction_reach, "The first road junction is within this many metres of where the car starts")
      ->capture_default_str()
      ->group(world);
  number(app, "--annotation-range", o.annotation_range, "Objects farther from the car than this are not annotated, m")
      ->capture_default_str()
      ->group(world);

  number(app, "--decoys", o.decoys,
         "Share of the objects that are none: they look and return like the others, and mark a pedestrian crossing around\n"
         "themselves that nothing else shows, so that what says object to one task says crossing to the other")
      ->capture_default_str()
      ->group(world);
  number(app, "--decoy-reach", o.decoy_reach, "How far around a decoy its crossing reaches, m")
      ->capture_default_str()
      ->group(world);
  number(app, "--camouflage", o.camouflage, "Share of the objects in the colours of paint, walkway and car park")
      ->capture_default_str()
      ->group(world);

  app.add_flag("--driving", o.driving,
               "The car keeps to a route with bends and traffic lights; route, speed, steering and pedals are written as in\n"
               "nuScenes' CAN bus expansion, and beside them the lights and what each pixel of the pictures shows")
      ->group(world);

  const char* lidar = "LiDAR";
  number(app, "--azimuths", o.azimuths, "Firings in one turn of the LiDAR")->capture_default_str()->group(lidar);
  number(app, "--lidar-range", o.lidar_range, "How far the LiDAR sees, m")->capture_default_str()->group(lidar);
  number(app, "--range-noise", o.range_noise, "Noise of a measured range, standard deviation, m")
      ->capture_default_str()
      ->group(lidar);
  number(app, "--drop-out", o.drop_out, "Share of returns that are lost")->capture_default_str()->group(lidar);
  number(app, "--intensity-semantics", o.intensity_semantics,
         "How clearly painted markings show in the ground's intensity, from 0 (not at all) to 1")
      ->capture_default_str()
      ->group(lidar);
  number(app, "--curb", o.curb, "Height of walkways above the road, m")->capture_default_str()->group(lidar);
  app.add_flag("--car-returns", o.car_returns, "Write returns from the car's own body")->group(lidar);
  app.add_flag("--misses", o.misses, "Write firings without a return as points at the origin")->group(lidar);

  const char* cameras = "Cameras";
  number(app, "--image-scale", o.image_scale, "Size of the pictures, as a share of 1600 x 900 pixels")
      ->capture_default_str()
      ->group(cameras);
  number(app, "--supersample", o.supersample, "Rays per pixel along each of its sides: 2 casts 4")
      ->capture_default_str()
      ->group(cameras);
  number(app, "--fog", o.fog, "Distance over which fog lowers contrast to 1/e, m; 0: no fog")
      ->capture_default_str()
      ->group(cameras);
  number(app, "--least-gain", o.least_gain, "Least factor on the brightness of a scene")->capture_default_str()->group(cameras);
  number(app, "--most-gain", o.most_gain, "Largest factor on the brightness of a scene")->capture_default_str()->group(cameras);
  number(app, "--image-noise", o.image_noise, "Noise of a pixel, standard deviation, where white is 1")
      ->capture_default_str()
      ->group(cameras);
  number(app, "--blur", o.blur, "Pictures out of focus: standard deviation of the blur, pixels")
      ->capture_default_str()
      ->group(cameras);
  number(app, "--jpeg-quality", o.jpeg_quality, "Quality of the JPEG files, 1 ... 100; 0 writes PPM files instead")
      ->capture_default_str()
      ->group(cameras);
}

struct SynthArguments {
  SynthOptions options;
  std::string out;
  bool tiny = false;
  bool no_base_map = false;
};

/// What the command line asks for: the defaults that `--tiny` chooses, with what is given in their place.
SynthOptions options_of(const CLI::App& command, const SynthArguments& arguments) {
  SynthOptions options = arguments.options;
  if (arguments.tiny) {
    options = SynthOptions::tiny();
    CLI::App over_tiny;
    add_options(over_tiny, options);
    for (CLI::Option* option : over_tiny.get_options()) {
      const CLI::Option* given = command.get_option_no_throw(option->get_name());
      if (given != nullptr && given->count() > 0 && option != over_tiny.get_help_ptr()) {
        option->add_result(given->results());
        option->run_callback();
      }
    }
  }
  options.out = arguments.out;
  options.base_map = !arguments.no_base_map;
  return options;
}

void synth(const SynthOptions& options) {
  check(options);
  SynthReport report;
  {
    example::Progress progress(static_cast<double>(options.all_scenes()) * options.samples);
    report = generate(options, [&progress](int, int) { progress.advance(1); });
  }
  std::printf("%d scenes, %d samples, %lld boxes in %.1f s (%.1f samples/s): %s\n", report.scenes, report.samples,
              static_cast<long long>(report.annotations), report.seconds, report.samples / report.seconds,
              options.out.string().c_str());
}

}  // namespace

void add_synth_command(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("synth",
                         "Write a synthetic data set in nuScenes' format: tables, LiDAR sweeps, six cameras, maps. "
                         "The same seed and options give the same bytes.");
  const auto arguments = std::make_shared<SynthArguments>();
  command->add_option("--out", arguments->out, "Folder of the data set; made where it is not there")->required();
  command->add_flag("--tiny", arguments->tiny,
                    "Defaults that suit the network of size tiny: pictures of 192 x 108, 180 firings a turn, fewer objects");
  command->add_flag("--no-base-map", arguments->no_base_map, "Leave out the PNG of the drivable area");
  add_options(*command, arguments->options);
  command->callback([command, arguments] { synth(options_of(*command, *arguments)); });
}

}  // namespace bevfusion
