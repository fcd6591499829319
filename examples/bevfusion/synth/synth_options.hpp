// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace bevfusion {

/// What the synthetic world looks like and how its sensors see it. The knobs of modality bias move what a sensor can tell: map
/// classes are in the paint, so in the images, and reach the LiDAR through `intensity_semantics` and `curb` alone; distance is in
/// the LiDAR.
struct SynthOptions {
  /// What rows are called by.
  enum class Tokens {
    nuscenes,  ///< 32 hexadecimal digits in the tables, UUIDs in the map expansion
    uuid,      ///< UUIDs everywhere
    text       ///< words: "sample-3-0-0"
  };

  // How much
  std::filesystem::path out;           ///< the data set's root; made where it is not there
  std::string version = "v1.0-synth";  ///< folder of the tables
  std::uint64_t seed = 0;              ///< same seed and options: same bytes
  int scenes = 10;                     ///< of splits "train" and "val", each in a town of its own
  int samples = 10;                    ///< key frames a scene, 0.5 s apart
  int sweeps = 4;                      ///< LiDAR sweeps before each key frame, evenly spaced
  double validation_share = 0.2;       ///< of the scenes, the last ones, go to split "val"
  int validation_scenes = -1;          ///< so many instead, where it is not below 0
  int test_scenes = 0;                 ///< beside `scenes`, which stay as they are: split "test"
  int threads = 0;                     ///< 0: as many as the machine has
  Tokens tokens = Tokens::nuscenes;
  bool base_map = true;  ///< also draw each town's drivable area as PNG

  // World
  int fewest_objects = 15;  ///< of the ten classes, along `object_reach` metres of every road before and behind the car
  int most_objects = 45;    ///< (the more the farther the car goes)
  double object_reach = 60;
  double junction_reach = 40;    ///< the first junction lies within this many metres of the start
  double annotation_range = 75;  ///< objects farther than this from the car are not annotated, m
  /// Conflict between the tasks: the share of the objects that are decoys. They stand there, look and return as objects do, and
  /// are none: nobody annotates them, and within `decoy_reach` metres along and across the road the ground is a pedestrian
  /// crossing that nothing else marks. What says "object" to one task says "crossing" to the other, and only one of them is
  /// right.
  double decoys = 0;
  double decoy_reach = 3;
  /// The share of the objects that have the colour of paint, walkway or car park, and paint's intensity.
  double camouflage = 0;

  /// The car keeps to a route with bends and traffic lights instead of going on at one speed, and what its driver does is
  /// written beside the tables.
  bool driving = false;

  // LiDAR
  int azimuths = 1084;               ///< firings a turn
  double lidar_range = 80;           ///< m
  double range_noise = 0.02;         ///< m, standard deviation
  double drop_out = 0.05;            ///< share of returns lost
  double intensity_semantics = 0.1;  ///< 0: the ground's intensity tells nothing of paint ... 1: paint returns 40 ... 90
  double curb = 0;                   ///< how high walkways stand above the road, m
  bool car_returns = false;          ///< also write the returns from the car's own body, 23 % of a real sweep
  bool misses = false;               ///< write firings without a return as points at the origin, as the real files have them

  // Cameras
  double image_scale = 0.48;  ///< of 1600 x 900; 0.48 is what BEVFusion resizes to
  int supersample = 1;        ///< rays a pixel along each side
  double fog = 120;           ///< m over which contrast falls to 1/e; 0: clear
  double least_gain = 0.7;    ///< brightness, drawn once a scene
  double most_gain = 1.2;
  double image_noise = 0.02;  ///< standard deviation, of 0 ... 1
  double blur = 0;            ///< pictures out of focus: standard deviation, pixels
  int jpeg_quality = 92;      ///< 0: write PPM

  int all_scenes() const { return scenes + test_scenes; }
  int scenes_of_validation() const;

  /// The `tiny` configuration's data: 192 x 108 pictures, 180 firings, fewer objects, nearer junctions.
  static SynthOptions tiny() {
    SynthOptions options;
    options.fewest_objects = 6;
    options.most_objects = 18;
    options.object_reach = 28;
    options.junction_reach = 18;
    options.azimuths = 180;
    options.image_scale = 0.12;
    options.supersample = 2;
    return options;
  }
};

/// Throws std::invalid_argument, naming the option, for a value that makes no data set.
void check(const SynthOptions& options);

}  // namespace bevfusion
