// SPDX-License-Identifier: Apache-2.0
// Augmentation keeps points, boxes, cameras and masks together; samples are loaded ahead, in order, the same every time.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>
#include <set>
#include <stdexcept>
#include <thread>
#include <tuple>

#include "bevfusion/loading/label_coverage.hpp"
#include "bevfusion/loading/prefetcher.hpp"
#include "bevfusion/loading/training_sample.hpp"
#include "bevfusion/nuscenes/image_file.hpp"
#include "bevfusion/nuscenes/lidar_file.hpp"
#include "bevfusion/synth/generate.hpp"
#include "bevfusion/synth/synth_scene.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "support/catch.hpp"

using namespace bevfusion;

namespace {

struct SmallSet {
  testing::TemporaryFolder folder;
  SynthOptions options = SynthOptions::tiny();
  Tables tables;
  SmallSet() {
    options.scenes = 2;
    options.samples = 3;
    options.sweeps = 1;
    options.seed = 21;
    options.out = folder.path();
    generate(options);
    tables = read_tables(options.out, options.version);
  }
};
const SmallSet& small() {
  static const SmallSet set;
  return set;
}

LoadingOptions small_loading() {
  LoadingOptions options;
  options.sweeps = 2;
  options.image = {176, 64, 0.095, 0.1375, 0.12, 5.4, true};
  options.bev.flip_x = true;
  options.bev.flip_y = true;
  options.seed = 4;
  return options;
}

}  // namespace

TEST_CASE("a picture goes where its matrix says", "[loading]") {
  // A white spot of 8 x 8 pixels about (60, 80) in a black picture.
  Image image(160, 90);
  for (int y = 76; y < 84; ++y) {
    for (int x = 56; x < 64; ++x) image.set(x, y, {255, 255, 255});
  }
  for (const bool flip : {false, true}) {
    for (const double turn : {0.0, 0.09, -0.2}) {
      ImageAugmentation a;
      a.resize = 0.5;
      a.crop_left = 6;
      a.crop_top = 13;
      a.flip = flip;
      a.rotation = turn;
      a.width = 64;
      a.height = 32;
      const Image moved = resample(image, a);
      double weight = 0, x = 0, y = 0;
      for (int v = 0; v < 32; ++v) {
        for (int u = 0; u < 64; ++u) {
          const double w = moved.pixel(u, v)[0];
          weight += w;
          x += w * (u + 0.5);
          y += w * (v + 0.5);
        }
      }
      REQUIRE(weight > 0);
      const Eigen::Vector3d expected = a.matrix() * Eigen::Vector3d(60, 80, 1);
      CHECK(x / weight == Approx(expected.x()).margin(0.1));
      CHECK(y / weight == Approx(expected.y()).margin(0.1));
      CHECK(weight == Approx(255 * 16.0).epsilon(0.03));  // half the size: a quarter of the light
    }
  }
  // Without a turn, by hand: u = 0.5 * 60 - 6 = 24, or 64 - 24 from the other side; v = 0.5 * 80 - 13 = 27.
  ImageAugmentation a;
  a.resize = 0.5;
  a.crop_left = 6;
  a.crop_top = 13;
  a.width = 64;
  a.height = 32;
  a.flip = true;
  CHECK((a.matrix() * Eigen::Vector3d(60, 80, 1) - Eigen::Vector3d(40, 27, 1)).norm() < 1e-12);
  CHECK((a.matrix4() * Eigen::Vector4d(60, 80, 7, 1) - Eigen::Vector4d(40, 27, 7, 1)).norm() < 1e-12);
}

TEST_CASE("the fixed view of a 1600 x 900 picture is BEVFusion's", "[loading]") {
  const ImageAugmentation a = fixed_image_augmentation({}, 1600, 900);
  CHECK(a.resize == Approx(0.48));
  CHECK(a.crop_left == Approx(32));  // (768 - 704) / 2
  CHECK(a.crop_top == Approx(176));  // 432 - 256: the sky goes
  // A picture stored at 0.12 of the size shows the same.
  const ImageAugmentation small = fixed_image_augmentation({}, 192, 108);
  CHECK(small.resize == Approx(4));
  CHECK(small.crop_left == Approx(32));
  CHECK(small.crop_top == Approx(176));
}

TEST_CASE("points stay in their boxes, boxes keep their heading", "[loading]") {
  const SmallSet& set = small();
  const KeyFrame frame = key_frame_of(set.tables, 1);
  Random random({9});
  for (int draw = 0; draw < 20; ++draw) {
    const BevAugmentation a = draw_bev_augmentation({pi / 8, 0.95, 1.05, 0.2, true, true}, random);
    std::vector<SweepPoint> points = read_points(frame);
    std::vector<Box3D> boxes = frame.boxes;
    a.apply(points);
    a.apply(boxes);
    for (std::size_t b = 0; b < boxes.size(); ++b) {
      CHECK(std::abs(count_points_in(boxes[b], points) - frame.boxes[b].lidar_points) <= 1);
      // The middle of the front face goes where the matrix takes it.
      const Box3D& old = frame.boxes[b];
      const Eigen::Vector3d front = old.pose() * Eigen::Vector3d(0.5 * old.length(), 0, 0);
      const Eigen::Vector3d moved = (a.matrix4() * front.homogeneous()).head<3>();
      CHECK((boxes[b].pose() * Eigen::Vector3d(0.5 * boxes[b].length(), 0, 0) - moved).norm() < 1e-9);
      CHECK(boxes[b].velocity_known() == old.velocity_known());
      if (old.velocity_known()) CHECK(boxes[b].velocity.norm() == Approx(a.scale * old.velocity.norm()).margin(1e-12));
    }
  }
}

TEST_CASE("a loaded sample's parts fit together", "[loading]") {
  const SmallSet& set = small();
  LoadingOptions loading = small_loading();
  loading.masks.rule = "centres";
  const SampleLoader loader(set.tables, loading);
  int in_view = 0;
  for (RowIndex i = 0; i < 6; ++i) {
    const TrainingSample sample = loader.load(i, 0);
    const SynthScene scene = make_scene(set.options, i / 3);
    const KeyFrame frame = key_frame_of(set.tables, i);
    CHECK(sample.masks.labelled == std::vector<bool>(6, true));
    const Eigen::Matrix4d back = sample.lidar_augmentation.inverse();
    // Masks: a cell's centre, back to the ground, is what the town says.
    const MapGrid grid;
    int wrong = 0;
    for (int x = 0; x < 200; x += 3) {
      for (int y = 0; y < 200; y += 3) {
        const Eigen::Vector4d lidar = back * Eigen::Vector4d(grid.center(x), grid.center(y), -1.84, 1);
        const double yaw = yaw_of(frame.global_from_lidar().rotation);
        const Eigen::Vector2d global = frame.global_from_lidar().translation.head<2>() +
                                       (rotation_about_z(yaw) * Eigen::Vector3d(lidar.x(), lidar.y(), 0)).head<2>();
        wrong += scene.town.classify(global).is(GroundClass::drivable_area) != sample.masks.at("drivable_area", x, y) ? 1 : 0;
      }
    }
    CHECK(wrong <= 15);  // of 4489: chords for arcs
    for (std::size_t c = 0; c < camera_count; ++c) {
      const TrainingCamera& camera = sample.cameras[c];
      REQUIRE(camera.present);
      CHECK((camera.image.width == 176 && camera.image.height == 64));
      // The chain the network uses: augmented LiDAR frame -> LiDAR -> camera -> picture -> augmented picture, against the plain
      // one.
      for (std::size_t b = 0; b < sample.boxes.size(); ++b) {
        const auto plain = frame.cameras[c].view.project(frame.boxes[b].center);
        const Eigen::Vector4d p = camera.camera_to_lidar.inverse() * (back * sample.boxes[b].center.homogeneous());
        if (!plain) {
          CHECK(p.z() < 0.1 + 1e-9);
          continue;
        }
        const Eigen::Vector3d uvw = camera.intrinsic * p.head<3>();
        const Eigen::Vector4d uvd = camera.image_augmentation * Eigen::Vector4d(uvw.x() / uvw.z(), uvw.y() / uvw.z(), uvw.z(), 1);
        const Eigen::Vector4d expected = camera.image_augmentation * Eigen::Vector4d(plain->x(), plain->y(), plain->z(), 1);
        CHECK((uvd - expected).norm() < 1e-6 * expected.norm());
        in_view += uvd.x() >= 0 && uvd.y() >= 0 && uvd.x() < 176 && uvd.y() < 64 ? 1 : 0;
      }
    }
  }
  CHECK(in_view > 20);
}

TEST_CASE("samples depend on seed, epoch and row alone", "[loading]") {
  const SmallSet& set = small();
  LoadingOptions options = small_loading();
  const SampleLoader one(set.tables, options);
  const SampleLoader two(set.tables, options);
  two.load(3, 0);
  const TrainingSample a = one.load(2, 5);
  const TrainingSample b = two.load(2, 5);
  CHECK(a.lidar_augmentation == b.lidar_augmentation);
  CHECK(a.cameras[4].image.rgb == b.cameras[4].image.rgb);
  CHECK(a.masks.values == b.masks.values);
  CHECK(one.load(2, 6).lidar_augmentation != a.lidar_augmentation);
  options.augment = false;
  const TrainingSample plain = SampleLoader(set.tables, options).load(2, 5);
  CHECK(plain.lidar_augmentation == Eigen::Matrix4d::Identity());
  options.lidar = false;
  CHECK(SampleLoader(set.tables, options).load(2, 5).points.empty());
  options.cameras = false;
  CHECK_FALSE(SampleLoader(set.tables, options).load(2, 5).cameras[0].present);
}

TEST_CASE("training samples have their points in random order, the same every time", "[loading]") {
  const SmallSet& set = small();
  LoadingOptions options = small_loading();
  const auto ages = [](const TrainingSample& sample) {
    std::vector<float> all;
    for (const SweepPoint& p : sample.points) all.push_back(p.age);
    return all;
  };
  const auto sorted = [](std::vector<SweepPoint> points) {
    std::sort(points.begin(), points.end(), [](const SweepPoint& a, const SweepPoint& b) {
      return std::tie(a.x, a.y, a.z, a.intensity, a.age) < std::tie(b.x, b.y, b.z, b.intensity, b.age);
    });
    return points;
  };
  const auto same = [](const std::vector<SweepPoint>& a, const std::vector<SweepPoint>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(SweepPoint)) == 0;
  };
  const TrainingSample one = SampleLoader(set.tables, options).load(2, 5);
  CHECK(same(one.points, SampleLoader(set.tables, options).load(2, 5).points));
  // The age of a cut anywhere is mixed: the first half holds half of the older sweep.
  const std::vector<float> mixed = ages(one);
  const auto old = [&](std::size_t from, std::size_t to) {
    return std::count_if(mixed.begin() + static_cast<std::ptrdiff_t>(from), mixed.begin() + static_cast<std::ptrdiff_t>(to),
                         [](float age) { return age > 0; });
  };
  const std::size_t half = mixed.size() / 2;
  REQUIRE(old(0, mixed.size()) > 500);
  CHECK(old(0, half) == Approx(old(half, mixed.size())).epsilon(0.2));
  // Another order in another epoch, of the very points that come without it.
  options.shuffle_points = false;
  const TrainingSample plain = SampleLoader(set.tables, options).load(2, 5);
  CHECK(same(sorted(plain.points), sorted(one.points)));
  CHECK(plain.lidar_augmentation == one.lidar_augmentation);
  CHECK(plain.cameras[4].image.rgb == one.cameras[4].image.rgb);
  const std::vector<float> ordered = ages(plain);
  CHECK(std::is_sorted(ordered.begin(), ordered.end()));
  options.shuffle_points = true;
  CHECK(ages(SampleLoader(set.tables, options).load(2, 6)) != mixed);
  // Evaluation takes them as they come.
  options.augment = false;
  const std::vector<float> evaluated = ages(SampleLoader(set.tables, options).load(2, 5));
  CHECK(std::is_sorted(evaluated.begin(), evaluated.end()));
}

TEST_CASE("a LiDAR of fewer beams has those rings, evenly spread", "[loading]") {
  const SmallSet& set = small();
  const KeyFrame frame = key_frame_of(set.tables, 2, {1});
  const std::vector<LidarPoint> all = read_lidar(frame.sweeps.at(0).file);
  const auto with_beams = [&](int beams) {
    PointOptions options;
    options.beams = beams;
    std::multiset<std::array<float, 3>> places;
    for (const SweepPoint& p : read_points(frame, options)) places.insert({p.x, p.y, p.z});
    return places;
  };
  const auto of_rings = [&](const std::set<int>& rings) {
    std::multiset<std::array<float, 3>> places;
    for (const LidarPoint& p : all) {
      if (rings.count(static_cast<int>(p.ring)) != 0) places.insert({p.x, p.y, p.z});
    }
    return places;
  };
  CHECK(with_beams(4) == of_rings({4, 12, 20, 28}));
  CHECK(with_beams(16) == of_rings({1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31}));
  CHECK(with_beams(1) == of_rings({16}));
  CHECK(with_beams(32).size() == all.size());
}

TEST_CASE("training samples lose cameras as often as asked, evaluated ones none", "[loading]") {
  const SmallSet& set = small();
  LoadingOptions options = small_loading();
  options.lidar = false;
  const SampleLoader whole(set.tables, options);
  options.camera_dropout = 0.4;
  const SampleLoader loader(set.tables, options);
  int lost = 0;
  const int passes = 30;
  for (std::uint64_t epoch = 0; epoch < passes; ++epoch) {
    const TrainingSample sample = loader.load(1, epoch);
    const TrainingSample all = epoch == 0 ? whole.load(1, epoch) : TrainingSample();
    for (std::size_t c = 0; c < camera_count; ++c) {
      lost += sample.cameras[c].present ? 0 : 1;
      if (epoch == 0 && sample.cameras[c].present) CHECK(sample.cameras[c].image.rgb == all.cameras[c].image.rgb);
    }
  }
  CHECK(lost == Approx(0.4 * 6 * passes).margin(4 * std::sqrt(0.24 * 6 * passes)));  // four standard deviations
  options.augment = false;
  const TrainingSample evaluated = SampleLoader(set.tables, options).load(1, 0);
  CHECK(std::all_of(evaluated.cameras.begin(), evaluated.cameras.end(), [](const auto& camera) { return camera.present; }));
}

TEST_CASE("rows may be called by digits, UUIDs or words", "[loading][token]") {
  using Names = SynthOptions::Tokens;
  const auto load = [](Names names, std::string* first) {
    const testing::TemporaryFolder folder;
    SynthOptions options = SynthOptions::tiny();
    options.scenes = 1;
    options.samples = 2;
    options.sweeps = 1;
    options.azimuths = 60;
    options.seed = 21;
    options.tokens = names;
    options.out = folder.path();
    generate(options);
    const Tables tables = read_tables(options.out, options.version);
    *first = to_string(tables.samples[0].token);
    LoadingOptions loading = small_loading();
    loading.augment = false;
    return SampleLoader(tables, loading).load(1, 0);
  };
  std::string name;
  const TrainingSample digits = load(Names::nuscenes, &name);
  CHECK(name.size() == 32);
  std::string uuid;
  std::string text;
  const TrainingSample others[] = {load(Names::uuid, &uuid), load(Names::text, &text)};
  CHECK((uuid.size() == 36 && uuid[8] == '-' && uuid[13] == '-' && uuid[18] == '-' && uuid[23] == '-'));
  CHECK(text == "sample-0-0-0");
  for (const TrainingSample& other : others) {
    CHECK(other.masks.labelled == std::vector<bool>(6, true));
    CHECK(other.masks.values == digits.masks.values);
    REQUIRE(other.boxes.size() == digits.boxes.size());
    REQUIRE(!digits.boxes.empty());
    for (std::size_t b = 0; b < digits.boxes.size(); ++b) {
      CHECK(other.boxes[b].center == digits.boxes[b].center);
      CHECK(other.boxes[b].label == digits.boxes[b].label);
      CHECK(other.boxes[b].attribute == digits.boxes[b].attribute);
      CHECK(other.boxes[b].visibility == digits.boxes[b].visibility);
      CHECK(other.boxes[b].velocity_known());
      CHECK(other.boxes[b].annotation != digits.boxes[b].annotation);
    }
    CHECK(other.points.size() == digits.points.size());
  }
}

TEST_CASE("what samples have labels for is counted by name", "[loading]") {
  const SmallSet& set = small();
  Tables tables = set.tables;
  std::vector<RowIndex> all(6);
  std::iota(all.begin(), all.end(), 0);
  const LoadingOptions options = small_loading();
  const auto sum = [](const std::vector<std::size_t>& v) { return std::accumulate(v.begin(), v.end(), std::size_t{0}); };
  const LabelCoverage whole = coverage_of(tables, all, options);
  CHECK(whole.samples == 6);
  CHECK(whole.labelled == std::vector<std::size_t>(6, 6));
  CHECK(whole.dropped.empty());
  CHECK(sum(whole.kept) + whole.unseen == tables.annotations.size());
  CHECK(masks_text(whole) == "6 of 6 classes labelled");

  // Cars become ambulances, which no class is made of; one car's box holds no point; the second town has no map, the first
  // nothing but its base map.
  std::size_t cars = 0;
  for (std::size_t i = 0; i < tables.annotations.size(); ++i) {
    AnnotationRow& row = tables.annotations[i];
    const std::int32_t category = tables.instances[static_cast<std::size_t>(row.instance)].category;
    if (tables.categories[static_cast<std::size_t>(category)] == "vehicle.car") ++cars;
    row.lidar_points = 1;
  }
  REQUIRE(cars > 0);
  for (std::string& category : tables.categories) {
    if (category == "vehicle.car") category = "vehicle.emergency.ambulance";
  }
  for (std::size_t i = 0; i < tables.annotations.size(); ++i) {
    const std::int32_t category = tables.instances[static_cast<std::size_t>(tables.annotations[i].instance)].category;
    if (tables.categories[static_cast<std::size_t>(category)] == "vehicle.emergency.ambulance") continue;
    tables.annotations[i].lidar_points = 0;
    break;
  }
  tables.logs[0].location = "elsewhere";
  tables.logs[1].location = "nowhere";
  tables.logs[1].base_map.clear();
  const LabelCoverage some = coverage_of(tables, all, options);
  CHECK(some.unseen == 1);
  CHECK(some.dropped == std::map<std::string, std::size_t>{{"vehicle.emergency.ambulance", cars}});
  CHECK(sum(some.kept) == tables.annotations.size() - cars - 1);
  CHECK(some.labelled == std::vector<std::size_t>{3, 0, 0, 0, 0, 0});
  CHECK(masks_text(some) ==
        "1 of 6 classes labelled; not labelled: ped_crossing, walkway, stop_line, carpark_area, divider; drivable_area in 3 of 6 "
        "samples alone");
  const std::string boxes = boxes_text(some);
  CHECK(boxes.find("; none of car") != std::string::npos);
  CHECK(boxes.find("left out: " + std::to_string(cars) + " vehicle.emergency.ambulance, 1 without a point in them") !=
        std::string::npos);
}

TEST_CASE("a place without maps is unlabelled", "[loading]") {
  const SmallSet& set = small();
  Tables tables = set.tables;
  for (LogRow& log : tables.logs) {
    log.location = "nowhere";
    log.base_map.clear();
  }
  CHECK(SampleLoader(tables, small_loading()).load(0, 0).masks.labelled == std::vector<bool>(6, false));
}

TEST_CASE("items come in order, however long each takes", "[loading]") {
  std::atomic<int> most_ahead{0};
  std::atomic<int> given{0};
  Prefetcher<int> items(3, 40, 4, 5, [&](std::size_t i) {
    most_ahead = std::max(most_ahead.load(), static_cast<int>(i) - 3 - given.load());
    std::this_thread::sleep_for(std::chrono::microseconds(i * 7919 % 13 * 100));
    if (i == 20) throw std::runtime_error("twenty");
    return static_cast<int>(i) * 2;
  });
  for (int i = 3; i < 40; ++i) {
    if (i == 20) {
      CHECK_THROWS_AS(items.next(), std::runtime_error);
    } else {
      CHECK(items.next() == i * 2);
    }
    ++given;
  }
  CHECK_FALSE(items.next());
  CHECK(most_ahead <= 5);
  // Left in the middle, it stops.
  Prefetcher<int> abandoned(0, 1000000, 3, 4, [](std::size_t i) { return static_cast<int>(i); });
  CHECK(abandoned.next() == 0);
}
