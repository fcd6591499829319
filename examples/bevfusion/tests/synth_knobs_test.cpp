// SPDX-License-Identifier: Apache-2.0
// The knobs of synthetic data sets: what they change, and that they leave the rest alone.
#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <map>
#include <set>

#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/map/map_masks.hpp"
#include "bevfusion/nuscenes/bytes.hpp"
#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/image_file.hpp"
#include "bevfusion/nuscenes/json_rows.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/nuscenes/lidar_file.hpp"
#include "bevfusion/nuscenes/splits.hpp"
#include "bevfusion/synth/camera_sensor.hpp"
#include "bevfusion/synth/generate.hpp"
#include "bevfusion/synth/lidar_sensor.hpp"
#include "bevfusion/synth/sensor_rig.hpp"
#include "bevfusion/synth/synth_scene.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "bevfusion/tests/support/synthetic_set.hpp"
#include "support/catch.hpp"

using namespace bevfusion;

TEST_CASE("the knobs move what the LiDAR can tell", "[synth]") {
  SynthOptions options = small_set();
  options.azimuths = 1084;
  const SynthScene scene = make_scene(options, 1);
  const RigidTransform global_from_lidar = scene.global_from_ego(0) * ego_from_sensor(Channel::lidar_top);
  // Mean intensity of returns from paint over those from bare asphalt, and mean height of walkways.
  const auto look = [&](double semantics, double curb) {
    options.intensity_semantics = semantics;
    options.curb = curb;
    Random random({5});
    double paint = 0, asphalt = 0, height = 0;
    int paints = 0, asphalts = 0, walkways = 0;
    for (const LidarPoint& p : scan(scene.town, {}, global_from_lidar, options, random)) {
      const Eigen::Vector3d global = global_from_lidar * Eigen::Vector3d(p.x, p.y, p.z);
      const Ground ground = scene.town.classify(global.head<2>());
      if (ground.surface == Surface::paint) {
        paint += p.intensity;
        ++paints;
      } else if (ground.surface == Surface::asphalt) {
        asphalt += p.intensity;
        ++asphalts;
      } else if (ground.surface == Surface::walkway) {
        height += global.z();
        ++walkways;
      }
    }
    REQUIRE((paints > 20 && asphalts > 200 && walkways > 100));
    return std::array<double, 2>{paint / paints / (asphalt / asphalts), height / walkways};
  };
  const auto blind = look(0, 0);
  const auto seeing = look(1, 0.15);
  CHECK(blind[0] == Approx(1).margin(0.25));
  CHECK(std::abs(blind[1]) < 0.02);
  CHECK(seeing[0] > 2.5);
  CHECK(seeing[1] > 0.11);  // on top, or on the edge
  CHECK(seeing[1] < 0.16);
}

TEST_CASE("a test split comes beside the other scenes", "[synth]") {
  SynthOptions options = small_set();
  options.samples = 1;
  options.validation_scenes = 2;
  const testing::TemporaryFolder without;
  const testing::TemporaryFolder with;
  options.out = without.path();
  generate(options);
  options.out = with.path();
  options.test_scenes = 2;
  CHECK(generate(options).scenes == 5);
  const auto tables = with.path() / options.version;
  CHECK(scenes_of_split(tables, "train") == std::vector<std::string>{"synth-0000"});
  CHECK(scenes_of_split(tables, "val") == std::vector<std::string>{"synth-0001", "synth-0002"});
  CHECK(scenes_of_split(tables, "test") == std::vector<std::string>{"synth-0003", "synth-0004"});
  CHECK_THROWS_AS(scenes_of_split(without.path() / options.version, "test"), DataError);
  // What the others see does not change with it.
  const auto more = all_files(with.path() / "samples");
  for (const auto& [name, bytes] : all_files(without.path() / "samples")) {
    const auto found = more.find(name);
    REQUIRE(found != more.end());
    CHECK(found->second == bytes);
  }
  options.validation_scenes = 4;
  CHECK_THROWS_AS(check(options), std::invalid_argument);
}

TEST_CASE("decoys look like objects, are annotated as none, and stand on a crossing of their own", "[synth]") {
  SynthOptions options = small_set();
  options.decoys = 0.5;
  options.decoy_reach = 2;
  int decoys = 0;
  int objects = 0;
  for (int s = 0; s < 6; ++s) {
    const SynthScene scene = make_scene(options, s);
    std::set<std::size_t> annotated;
    for (const ObjectState& state : scene.objects_at(0, 1e9)) annotated.insert(state.object);
    std::set<int> solid;
    for (const Solid& one : solids_at(scene.traffic, 0)) solid.insert(one.object);
    for (std::size_t i = 0; i < scene.traffic.objects.size(); ++i) {
      const TrafficObject& object = scene.traffic.objects[i];
      ++objects;
      CHECK(solid.count(static_cast<int>(i)) == 1);
      CHECK(annotated.count(i) == (object.decoy ? 0U : 1U));
      if (!object.decoy) continue;
      ++decoys;
      CHECK(object.motion.speed == 0);
      const Motion& at = object.motion;
      for (const double aside : {-1.9, 1.9}) {
        CHECK(scene.town.classify(at.road.at(at.s + aside, at.d)).is(GroundClass::ped_crossing));
        CHECK(scene.town.classify(at.road.at(at.s, at.d + aside)).is(GroundClass::ped_crossing));
      }
    }
    // The crossings have no paint of theirs: take them away, and the ground looks the same everywhere.
    Town plain = scene.town;
    for (RoadLayout& layout : plain.roads) {
      auto& ribbons = layout.ribbons;
      ribbons.erase(std::remove_if(ribbons.begin(), ribbons.end(), [](const Ribbon& r) { return r.bare; }), ribbons.end());
    }
    for (const TrafficObject& object : scene.traffic.objects) {
      for (double d = -3; d <= 3; d += 0.5) {
        const Eigen::Vector2d place = object.motion.road.at(object.motion.s + d, object.motion.d + 0.3 * d);
        CHECK(plain.classify(place).surface == scene.town.classify(place).surface);
      }
    }
  }
  REQUIRE(objects > 60);
  CHECK(decoys == Approx(0.5 * objects).margin(4 * std::sqrt(objects)));  // rows of cones are decoys together
}

TEST_CASE("a blurred picture keeps its mean and loses its detail", "[synth]") {
  SynthOptions options = small_set();
  options.image_noise = 0;
  const SynthScene scene = make_scene(options, 0);
  Camera camera;
  camera.intrinsic = intrinsic_of(Channel::cam_front, options.image_scale);
  camera.global_from_camera = scene.global_from_ego(0) * ego_from_sensor(Channel::cam_front);
  camera.width = scaled_width(options.image_scale);
  camera.height = scaled_height(options.image_scale);
  // Mean, and mean square of the difference to the pixel on the right.
  const auto look = [&](double blur) {
    options.blur = blur;
    Random random({3});
    PixelCounts counts(scene.traffic.objects.size());
    const Image image = render(scene.town, solids_at(scene.traffic, 0), camera, 1, scene.texture, options, random, counts);
    double mean = 0;
    double detail = 0;
    for (std::size_t i = 0; i + 3 < image.rgb.size(); i += 3) {
      mean += image.rgb[i];
      const double step = static_cast<double>(image.rgb[i + 3]) - static_cast<double>(image.rgb[i]);
      detail += step * step;
    }
    return std::array<double, 2>{mean / static_cast<double>(image.rgb.size() / 3), detail};
  };
  const auto sharp = look(0);
  const auto soft = look(3);
  CHECK(soft[0] == Approx(sharp[0]).epsilon(0.02));
  CHECK(soft[1] < 0.2 * sharp[1]);
}

TEST_CASE("a data set says what its knobs were", "[synth]") {
  const SmallSet& set = small();
  const std::vector<std::uint8_t> bytes = read_bytes(set.tables.folder / "synth.json");
  const std::string text(bytes.begin(), bytes.end());
  for (const char* part : {"\"seed\": 11", "\"azimuths\": 240", "\"decoys\": 0", "\"validation_scenes\": 1", "\"blur\": 0"}) {
    INFO(part);
    CHECK(text.find(part) != std::string::npos);
  }
}
