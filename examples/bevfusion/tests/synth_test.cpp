// SPDX-License-Identifier: Apache-2.0
// Synthetic data sets: the same bytes from the same seed, and what the reader reads is what the generator had in mind.
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

TEST_CASE("same seed, same bytes, on any number of threads", "[synth]") {
  SynthOptions options = small_set();
  options.scenes = 2;
  options.samples = 2;
  const testing::TemporaryFolder one;
  const testing::TemporaryFolder two;
  const testing::TemporaryFolder other;
  options.out = one.path();
  options.threads = 1;
  generate(options);
  options.out = two.path();
  options.threads = 3;
  generate(options);
  const auto first = all_files(one.path());
  // 13 tables, splits, the knobs; a scene has a base map and an expansion; a sample six pictures, a key sweep and two more.
  CHECK(first.size() == 15 + 2 * 2 + 2 * 2 * (6 + 3));
  CHECK(first == all_files(two.path()));
  options.out = other.path();
  options.seed = 12;
  generate(options);
  CHECK(first != all_files(other.path()));
  CHECK_THROWS_AS(generate(options), DataError);  // never over a data set that is there
}

TEST_CASE("tables, sweeps, poses and splits are read back", "[synth]") {
  const SmallSet& set = small();
  CHECK(set.tables.scenes.size() == 3);
  CHECK(set.tables.samples.size() == 12);
  CHECK(set.tables.annotations.size() == static_cast<std::size_t>(set.report.annotations));
  const auto train = scenes_of_split(set.tables.folder, "train");
  const auto val = scenes_of_split(set.tables.folder, "val");
  CHECK(train == std::vector<std::string>{"synth-0000", "synth-0001"});
  CHECK(val == std::vector<std::string>{"synth-0002"});
  CHECK(samples_of_scenes(set.tables, val) == std::vector<RowIndex>{8, 9, 10, 11});
  for (int s = 0; s < 3; ++s) {
    const SynthScene scene = make_scene(set.options, s);
    for (int i = 0; i < 4; ++i) {
      const KeyFrame frame = key_frame_of(set.tables, sample_of(set, s, i), {5});
      CHECK(frame.scene == scene.name);
      CHECK(frame.timestamp == scene.sample_time(i));
      CHECK(frame.sweeps.size() == static_cast<std::size_t>(i == 0 ? 3 : 5));
      for (std::size_t k = 0; k < frame.sweeps.size(); ++k)
        CHECK(frame.sweeps[k].age == Approx(static_cast<double>(k) / 6).margin(2e-6));
      CHECK((frame.global_from_ego.matrix() - scene.global_from_ego(0.5 * i).matrix()).norm() < 1e-9);
      // A sweep's transform takes what stands still to where it stood.
      const double age = frame.sweeps[2].age;
      const Eigen::Vector3d corner(3, 12, -1);
      const Eigen::Vector3d global = scene.global_from_ego(0.5 * i - age) * (ego_from_sensor(Channel::lidar_top) * corner);
      CHECK((frame.global_from_lidar() * (frame.sweeps[2].key_from_sweep * corner) - global).norm() < 1e-6);
      // A camera's, through its own time.
      for (std::size_t c = 0; c < camera_count; ++c) {
        const double time = 0.5 * i + 1e-6 * static_cast<double>(facts_of(static_cast<Channel>(c)).delay);
        const RigidTransform camera = scene.global_from_ego(time) * ego_from_sensor(static_cast<Channel>(c));
        CHECK(
            (frame.cameras[c].view.camera_from_lidar.matrix() - (camera.inverse() * frame.global_from_lidar()).matrix()).norm() <
            1e-9);
      }
    }
  }
}

TEST_CASE("boxes and velocities are the generator's", "[synth]") {
  const SmallSet& set = small();
  int moving = 0;
  for (int s = 0; s < 3; ++s) {
    const SynthScene scene = make_scene(set.options, s);
    for (int i = 0; i < 4; ++i) {
      const KeyFrame frame = key_frame_of(set.tables, sample_of(set, s, i));
      const std::vector<ObjectState> truth = scene.objects_at(0.5 * i, set.options.annotation_range);
      REQUIRE(frame.boxes.size() == truth.size());
      const RigidTransform lidar_from_global = frame.global_from_lidar().inverse();
      for (std::size_t b = 0; b < truth.size(); ++b) {
        const Box3D& box = frame.boxes[b];
        const TrafficObject& object = scene.traffic.objects[truth[b].object];
        CHECK((box.center - lidar_from_global * truth[b].center).norm() < 1e-6);
        CHECK((box.size - object.size).norm() == 0);
        CHECK(box.label == object.label);
        CHECK(box.attribute == attribute_by_speed(standard_boxes()[index_of(object.label)], std::abs(object.motion.speed)));
        const Eigen::Vector3d front(std::cos(truth[b].yaw), std::sin(truth[b].yaw), 0);
        const Eigen::Vector3d turned = lidar_from_global.rotation * front;
        CHECK(std::abs(wrap_angle(box.yaw - std::atan2(turned.y(), turned.x()))) < 1e-9);
        // The motion itself says how fast it is; over one or two half seconds a path bends little.
        if (!box.velocity_known()) continue;
        moving += box.velocity.norm() > 0.2 ? 1 : 0;
        const double along = std::abs(object.motion.speed) * (1 - object.motion.road.curvature * object.motion.d);
        CHECK(box.velocity.norm() == Approx(along).epsilon(0.02).margin(1e-6));
        if (along > 0.2) CHECK(std::abs(wrap_angle(std::atan2(box.velocity.y(), box.velocity.x()) - box.yaw)) < 0.06);
      }
    }
  }
  CHECK(moving > 20);
}

TEST_CASE("boxes hold as many points as they say", "[synth]") {
  const SmallSet& set = small();
  int with_points = 0;
  for (RowIndex i = 0; i < 12; ++i) {
    const KeyFrame frame = key_frame_of(set.tables, i);
    const std::vector<SweepPoint> points = read_points(frame);
    CHECK(points.size() > 2000);
    for (const Box3D& box : frame.boxes) {
      CHECK(std::abs(count_points_in(box, points) - box.lidar_points) <= 1);  // quaternions in the file are rounded
      with_points += box.lidar_points > 0 ? 1 : 0;
    }
  }
  CHECK(with_points > 60);
}

TEST_CASE("pictures show what the boxes say", "[synth]") {
  // In pictures without fog, noise or ground texture to speak of, the pixels inside a near, unhidden object's box have its
  // colours: render the scene with and without its objects, and every pixel that changed must lie within the outline of a
  // projected box.
  SynthOptions options = small_set();
  options.image_noise = 0;
  options.image_scale = 0.2;
  int changed_pixels = 0;
  for (int s = 0; s < 2; ++s) {
    const SynthScene scene = make_scene(options, s);
    const std::vector<Solid> solids = solids_at(scene.traffic, 0);
    for (std::size_t c = 0; c < camera_count; ++c) {
      const auto channel = static_cast<Channel>(c);
      const Camera camera{intrinsic_of(channel, 0.2), scene.global_from_ego(0) * ego_from_sensor(channel), 320, 180};
      PixelCounts counts(scene.traffic.objects.size());
      Random same({1});
      Random again({1});
      const Image full = render(scene.town, solids, camera, 1, 5, options, same, counts);
      const Image bare = render(scene.town, scene.traffic.clutter, camera, 1, 5, options, again, counts);
      CameraView view{camera.intrinsic, camera.global_from_camera.inverse(), 320, 180};  // of the global frame
      std::vector<std::array<double, 4>> frames;
      for (const ObjectState& state : scene.objects_at(0, 1e9)) {
        Box3D box;
        box.center = state.center;
        box.size = state.size;
        box.yaw = state.yaw;
        std::array<double, 4> f = {1e9, 1e9, -1e9, -1e9};
        bool ahead = true;
        int before = 0;
        for (const Eigen::Vector3d& corner : corners_of(box)) {
          const auto uvd = view.project(corner);
          ahead = ahead && uvd;
          if (!uvd) continue;
          ++before;
          f = {std::min(f[0], uvd->x()), std::min(f[1], uvd->y()), std::max(f[2], uvd->x()), std::max(f[3], uvd->y())};
        }
        if (before > 0) frames.push_back(ahead ? f : std::array<double, 4>{0, 0, 320, 180});
      }
      for (int y = 0; y < 180; ++y) {
        for (int x = 0; x < 320; ++x) {
          if (std::equal(full.pixel(x, y), full.pixel(x, y) + 3, bare.pixel(x, y))) continue;
          ++changed_pixels;
          const bool explained = std::any_of(frames.begin(), frames.end(), [&](const std::array<double, 4>& f) {
            return x + 0.5 >= f[0] && x + 0.5 <= f[2] && y + 0.5 >= f[1] && y + 0.5 <= f[3];
          });
          if (!explained) FAIL("a pixel of camera " << name_of(channel) << " shows an object outside its box: " << x << ' ' << y);
        }
      }
    }
  }
  CHECK(changed_pixels > 1000);
}

TEST_CASE("a lone object covers its box's pixels", "[synth]") {
  const SynthOptions options = small_set();
  Random random({3});
  const Town town = make_town(0, options, random);
  // A bus of 10 x 3 x 3.5 m, 15 m ahead of a level camera; one solid, a hand's breadth smaller than the box.
  Traffic traffic;
  TrafficObject bus;
  bus.label = DetectionClass::bus;
  bus.size = {3, 10, 3.5};
  const Eigen::Vector2d eye = town.main().at(main_margin, 0);
  bus.motion = Motion::straight(eye + Eigen::Vector2d(20, 0), 0, 0);
  traffic.objects.push_back(bus);
  Camera camera;
  camera.width = 200;
  camera.height = 100;
  camera.intrinsic << 100, 0, 100, 0, 100, 50, 0, 0, 1;
  camera.global_from_camera.rotation << 0, 0, 1, -1, 0, 0, 0, -1, 0;  // looks along global x
  camera.global_from_camera.translation << eye, 1.5;
  PixelCounts counts(1);
  render(town, solids_at(traffic, 0), camera, 1, 5, options, random, counts);
  // Its back, 15.04 m away, is 2.92 m wide and from 0.346 (a tenth) to 3.46 m high: 19.4 x 20.7 pixels.
  CHECK(counts.covered[0] == Approx(19.4 * 20.7).epsilon(0.1));
  CHECK(counts.visible[0] == counts.covered[0]);
  CHECK(counts.visibility(0) == 4);
}

TEST_CASE("masks drawn from the expansion are the town itself", "[synth]") {
  const SmallSet& set = small();
  const MapLabels& labels = label_sets().map.at(standard_map_labels);
  std::array<int, 6> cells{};
  for (int s = 0; s < 3; ++s) {
    const SynthScene scene = make_scene(set.options, s);
    const KeyFrame frame = key_frame_of(set.tables, sample_of(set, s, 1));
    const Eigen::Matrix3d bev = bev_from_global(frame.global_from_lidar());
    const MapExpansion expansion =
        read_map_expansion(set.options.out / "maps" / "expansion" / (frame.location + ".json"), labels);
    CHECK(expansion.canvas_edge == scene.town.canvas_edge);
    MaskOptions by_centres;
    by_centres.rule = "centres";
    const MapMasks masks = draw_masks(expansion, bev, {}, by_centres);
    const MapMasks base = draw_masks(BaseMap::read(frame.base_map), labels, bev, {}, by_centres);
    CHECK(masks.labelled == std::vector<bool>(6, true));
    const Eigen::Matrix3d global_from_bev = bev.inverse();
    const MapGrid grid;
    for (int x = 0; x < 200; ++x) {
      for (int y = 0; y < 200; ++y) {
        const Eigen::Vector2d at = (global_from_bev * Eigen::Vector3d(grid.center(x), grid.center(y), 1)).head<2>();
        const Ground ground = scene.town.classify(at);
        // Chains stray by up to 5 cm from arcs and ends of lines are round, so what is nearer to a border than that may differ.
        const auto settled = [&](GroundClass label, double reach) {
          for (const double dx : {-reach, 0.0, reach}) {
            for (const double dy : {-reach, 0.0, reach}) {
              if (scene.town.classify(at + Eigen::Vector2d(dx, dy)).is(label) != ground.is(label)) return false;
            }
          }
          return true;
        };
        for (std::size_t c = 0; c < cells.size(); ++c) {
          const auto label = static_cast<GroundClass>(c);
          cells[c] += ground.is(label) ? 1 : 0;
          if (masks.at(name_of(label), x, y) == ground.is(label)) continue;
          if (settled(label, label == GroundClass::divider ? 0.55 : 0.07))
            FAIL(name_of(label) << " differs at " << x << ' ' << y);
        }
        if (base.at("drivable_area", x, y) != ground.is(GroundClass::drivable_area) &&
            settled(GroundClass::drivable_area, 0.16)) {
          FAIL("the base map differs at " << x << ' ' << y);
        }
      }
    }
  }
  // All classes occur, in nuScenes' order of shares.
  const auto share = [&](GroundClass label) { return cells[static_cast<std::size_t>(label)]; };
  CHECK(share(GroundClass::drivable_area) > share(GroundClass::walkway));
  CHECK(share(GroundClass::walkway) > share(GroundClass::divider));
  CHECK(share(GroundClass::divider) > 0);
}

TEST_CASE("a map expansion has what the devkit's NuScenesMap reads", "[synth][map]") {
  // By layer, the fields that NuScenesMap of nuscenes-devkit 1.2.0 takes from every row while it loads and draws; the two last
  // keys are objects. map_masks_golden.py loads such a file with the devkit itself.
  const std::map<std::string, std::vector<std::string>> wanted = {
      {"node", {"token", "x", "y"}},
      {"line", {"token", "node_tokens"}},
      {"polygon", {"token", "exterior_node_tokens", "holes"}},
      {"drivable_area", {"token", "polygon_tokens"}},
      {"road_segment", {"token", "polygon_token", "is_intersection"}},
      {"road_block", {"token", "polygon_token"}},
      {"lane", {"token", "polygon_token", "left_lane_divider_segments", "right_lane_divider_segments"}},
      {"ped_crossing", {"token", "polygon_token"}},
      {"walkway", {"token", "polygon_token"}},
      {"stop_line", {"token", "polygon_token", "stop_line_type", "ped_crossing_tokens", "traffic_light_tokens"}},
      {"carpark_area", {"token", "polygon_token"}},
      {"road_divider", {"token", "line_token"}},
      {"lane_divider", {"token", "line_token"}},
      {"traffic_light", {"token", "line_token"}},
      {"lane_connector", {"token"}}};
  const SmallSet& set = small();
  const std::filesystem::path file = set.folder.path() / "maps" / "expansion" / "synthetic-town-0.json";
  std::set<std::string> layers;
  std::set<std::string> tokens;
  std::map<std::string, int> rows;
  JsonRowsVisitor visitor;
  visitor.fields = {"polygon_token",
                    "polygon_tokens",
                    "line_token",
                    "x",
                    "y",
                    "node_tokens",
                    "exterior_node_tokens",
                    "holes",
                    "is_intersection",
                    "left_lane_divider_segments",
                    "right_lane_divider_segments",
                    "stop_line_type",
                    "ped_crossing_tokens",
                    "traffic_light_tokens",
                    "token"};
  visitor.list = [&](const std::string& layer) { layers.insert(layer); };
  visitor.row = [&](const JsonRow& row) {
    ++rows[row.layer()];
    REQUIRE(wanted.count(row.layer()) == 1);
    for (const std::string& field : wanted.at(row.layer())) {
      INFO(row.layer() << ' ' << field);
      CHECK(row.has(field));
    }
    const std::string token = to_string(row.required_token("token"));
    CHECK(tokens.insert(token).second);
    CHECK((token.size() == 36 && token[8] == '-' && token[23] == '-'));  // as in the published maps
    // What stop lines stand for: the devkit looks up crossings and lights for other types.
    if (row.layer() == "stop_line") CHECK(row.text("stop_line_type") == "STOP_SIGN");
  };
  visit_json_rows(file, visitor);
  for (const auto& [layer, fields] : wanted) {
    INFO(layer);
    CHECK(layers.count(layer) == 1);
  }
  const std::vector<std::uint8_t> bytes = read_bytes(file);
  const std::string text(bytes.begin(), bytes.end());
  for (const char* key : {"\"arcline_path_3\": {}", "\"connectivity\": {}", "\"version\": \"1.3\""}) {
    CHECK(text.find(key) != std::string::npos);
  }
  CHECK(rows["road_segment"] == rows["drivable_area"]);
  CHECK(rows["lane"] > 0);

  // Road segments are the drivable area; lanes lie in it, side by side.
  const MapLabels labels = {{"drivable_area", {"drivable_area"}, {}}, {"road", {"road_segment"}, {}}, {"lane", {"lane"}, {}}};
  const KeyFrame frame = key_frame_of(set.tables, 0);
  MaskOptions by_centres;
  by_centres.rule = "centres";
  const MapMasks masks = draw_masks(read_map_expansion(file, labels), bev_from_global(frame.global_from_lidar()), {}, by_centres);
  int drivable = 0;
  int lane = 0;
  int outside = 0;
  for (int x = 0; x < masks.cells; ++x) {
    for (int y = 0; y < masks.cells; ++y) {
      CHECK_FALSE(masks.at("drivable_area", x, y) != masks.at("road", x, y));
      drivable += masks.at("drivable_area", x, y) ? 1 : 0;
      lane += masks.at("lane", x, y) ? 1 : 0;
      outside += masks.at("lane", x, y) && !masks.at("drivable_area", x, y) ? 1 : 0;
    }
  }
  CHECK(lane > drivable / 2);
  CHECK(outside < drivable / 100);
}

TEST_CASE("the LiDAR has the real sensor's pattern", "[synth]") {
  SynthOptions options = small_set();
  options.azimuths = 1084;
  options.misses = true;
  options.range_noise = 0;
  const SynthScene scene = make_scene(options, 0);
  Random random({5});
  const RigidTransform global_from_lidar = scene.global_from_ego(0) * ego_from_sensor(Channel::lidar_top);
  const auto points = scan(scene.town, solids_at(scene.traffic, 0), global_from_lidar, options, random);
  REQUIRE(points.size() == 34688);  // as the real key frame
  double last_azimuth = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const LidarPoint& p = points[i];
    REQUIRE(p.ring == static_cast<float>(i % 32));
    const double range = std::hypot(p.x, p.y);
    if (range == 0) continue;
    const double elevation = std::atan2(p.z, range) * 180 / pi;
    CHECK(std::abs(elevation - (-30.67 + 4.0 / 3 * p.ring)) < 1e-3);
    if (p.ring == 0) {  // clockwise
      const double azimuth = std::atan2(p.y, p.x);
      if (last_azimuth != 0) CHECK(wrap_angle(last_azimuth - azimuth) > 0);
      last_azimuth = azimuth;
    }
    const Eigen::Vector3d global = global_from_lidar * Eigen::Vector3d(p.x, p.y, p.z);
    CHECK(global.z() > -1e-3);  // nothing under the ground
  }
}

TEST_CASE("nothing overlaps, and the car keeps clear", "[synth]") {
  const SynthOptions options = small_set();
  for (int s = 0; s < 6; ++s) {
    const SynthScene scene = make_scene(options, s);
    for (const double time : {0.0, 0.5, 1.5}) {
      const auto states = scene.objects_at(time, 1e9);
      CHECK(states.size() >= 6);
      const Eigen::Vector2d car = scene.traffic.car.at(time).position;
      for (std::size_t a = 0; a < states.size(); ++a) {
        CHECK((states[a].center.head<2>() - car).norm() > 3.0);
        // Centres of two boxes are farther apart than the sum of their inscribed circles' radii.
        for (std::size_t b = a + 1; b < states.size(); ++b) {
          const double radii =
              0.5 * (std::min(states[a].size.x(), states[a].size.y()) + std::min(states[b].size.x(), states[b].size.y()));
          CHECK((states[a].center - states[b].center).head<2>().norm() > radii);
        }
      }
    }
  }
}

TEST_CASE("options that cannot be are refused", "[synth]") {
  SynthOptions options = small_set();
  options.image_scale = 0;
  CHECK_THROWS_AS(generate(options), std::invalid_argument);
  options = small_set();
  options.most_objects = 3;
  CHECK_THROWS_AS(generate(options), std::invalid_argument);
}
