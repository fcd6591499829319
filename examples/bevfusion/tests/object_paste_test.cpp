// SPDX-License-Identifier: Apache-2.0
// Pasting of objects and resampling of classes, on a tiny data set.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "bevfusion/config/config_fields.hpp"
#include "bevfusion/loading/object_paste.hpp"
#include "bevfusion/matching/rotated_iou.hpp"
#include "bevfusion/tests/support/tiny_run.hpp"
#include "bevfusion/training/training_data.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;
using bevfusion::testing::TinyData;

/// A LiDAR-only run that pastes.
RunConfig pasting_config() {
  RunConfig config = bevfusion::testing::tiny_config();
  config.model.parts.camera = config.model.parts.tasks["segmentation"] = false;
  config.calibration.rule = config.calibration.gate = "none";
  config.loading.augment = false;
  config.loading.paste.on = true;
  config.loading.paste.without = 1;  // of two epochs
  config.loading.paste.objects = "car=8, pedestrian=6";
  config.loading.paste.least_points = 3;
  config.training.batch = 1;
  complete(config);
  check(config);
  return config;
}

ObjectPaster paster_of(const RunConfig& config, const std::vector<RowIndex>& rows) {
  return {TinyData::get().tables, rows, {config.loading.sweeps, config.loading.box_labels}, config.loading.points,
          config.loading.paste,   3};
}

std::size_t count_of(const std::vector<Box3D>& boxes, DetectionClass label) {
  return static_cast<std::size_t>(
      std::count_if(boxes.begin(), boxes.end(), [&](const Box3D& box) { return box.label == label; }));
}

bool same(const SweepPoint& a, const SweepPoint& b) {
  return a.x == b.x && a.y == b.y && a.z == b.z && a.intensity == b.intensity && a.age == b.age;
}

TEST_CASE("objects are pasted with their points, collide with nothing, and make place for themselves", "[bevfusion][paste]") {
  const RunConfig config = pasting_config();
  const auto& rows = TinyData::get().training;
  const ObjectPaster paster = paster_of(config, rows);
  const Tables& tables = TinyData::get().tables;
  std::size_t pasted = 0;
  for (std::uint64_t key = 0; key < rows.size(); ++key) {
    const KeyFrame frame = key_frame_of(tables, rows[key], {config.loading.sweeps, config.loading.box_labels});
    const std::vector<SweepPoint> before = read_points(frame, config.loading.points);
    std::vector<SweepPoint> points = before;
    std::vector<Box3D> boxes = frame.boxes;
    paster.paste(points, boxes, {key, 5});
    REQUIRE(boxes.size() >= frame.boxes.size());
    const std::vector<Box3D> added(boxes.begin() + static_cast<std::ptrdiff_t>(frame.boxes.size()), boxes.end());
    pasted += added.size();
    for (std::size_t b = 0; b < frame.boxes.size(); ++b) {
      CHECK(boxes[b].annotation == frame.boxes[b].annotation);
    }
    CHECK(count_of(boxes, DetectionClass::car) <= std::max<std::size_t>(8, count_of(frame.boxes, DetectionClass::car)));
    for (std::size_t a = 0; a < added.size(); ++a) {
      CHECK((added[a].label == DetectionClass::car || added[a].label == DetectionClass::pedestrian));
      CHECK(added[a].lidar_points >= 3);
      for (std::size_t b = 0; b < frame.boxes.size() + a; ++b) {
        CHECK(footprint_intersection(added[a], boxes[b]) == 0);
      }
      // What lies in the box now are the object's own points, in its own sample: none of this cloud's.
      const BoxInterior interior(added[a]);
      for (const SweepPoint& point : points) {
        if (interior.contains(point.x, point.y, point.z)) {
          CHECK(std::none_of(before.begin(), before.end(), [&](const SweepPoint& other) { return same(point, other); }));
        }
      }
    }
    // Points that are in none of the pasted boxes are the cloud's, all of them.
    const auto outside = [&](const std::vector<SweepPoint>& of) {
      return std::count_if(of.begin(), of.end(), [&](const SweepPoint& point) {
        return std::none_of(added.begin(), added.end(),
                            [&](const Box3D& box) { return BoxInterior(box).contains(point.x, point.y, point.z); });
      });
    };
    CHECK(outside(points) == outside(before));
    // The same key gives the same, another another.
    std::vector<SweepPoint> again = before;
    std::vector<Box3D> boxes_again = frame.boxes;
    paster.paste(again, boxes_again, {key, 5});
    CHECK(again.size() == points.size());
    CHECK(boxes_again.size() == boxes.size());
  }
  CHECK(pasted > 10);
}

TEST_CASE("a pasted object's points are those of its annotation in its own sample", "[bevfusion][paste]") {
  const RunConfig config = pasting_config();
  const Tables& tables = TinyData::get().tables;
  const std::vector<RowIndex> one = {TinyData::get().training.front()};
  const ObjectPaster paster = paster_of(config, one);
  const KeyFrame frame = key_frame_of(tables, one.front(), {config.loading.sweeps, config.loading.box_labels});
  const std::vector<SweepPoint> cloud = read_points(frame, config.loading.points);
  std::vector<SweepPoint> points;
  std::vector<Box3D> boxes;
  paster.paste(points, boxes, {1});
  REQUIRE_FALSE(boxes.empty());
  int expected = 0;
  for (const Box3D& box : boxes) {
    const auto own = std::find_if(frame.boxes.begin(), frame.boxes.end(),
                                  [&](const Box3D& other) { return other.annotation == box.annotation; });
    REQUIRE(own != frame.boxes.end());
    CHECK(own->center == box.center);
    expected += count_points_in(box, cloud);
  }
  CHECK(static_cast<int>(points.size()) == expected);
  CHECK(expected > 0);
}

TEST_CASE("nothing is pasted in the last epochs, nor where it is off", "[bevfusion][paste]") {
  RunConfig config = pasting_config();
  const auto boxes_of = [](const RunConfig& of, std::int64_t epoch) {
    const TrainingData data(TinyData::get().tables, TinyData::get().training, of);
    std::size_t count = 0;
    for (std::size_t k = 0; k < data.batches(); ++k) {
      count += data.load(epoch, k).batch.boxes.front().size();
    }
    return count;
  };
  const std::size_t first = boxes_of(config, 0);
  const std::size_t last = boxes_of(config, 1);
  config.loading.paste.on = false;
  CHECK(boxes_of(config, 0) == last);
  CHECK(first > last);
}

TEST_CASE("cameras and LiDAR have the channels that the run names", "[bevfusion][cameras]") {
  const auto batch_of = [](const std::string& cameras) {
    RunConfig config = bevfusion::testing::tiny_config();
    config.data.cameras = cameras;
    config.loading.augment = false;
    complete(config);
    check(config);
    const Tables tables = read_tables(config.data.root, config.data.version, tables_options(config.data));
    return TrainingData(tables, TinyData::get().training, config).load(0, 0).batch.input;
  };
  const ModelInput six = batch_of(DataConfig().cameras);
  REQUIRE(six.images.size(1) == 6);
  const ModelInput two = batch_of("CAM_BACK, CAM_FRONT_LEFT");
  REQUIRE(two.images.size(1) == 2);
  CHECK(torch::equal(two.images.select(1, 0), six.images.select(1, 3)));  // CAM_BACK is the fourth of six
  CHECK(torch::equal(two.images.select(1, 1), six.images.select(1, 2)));
  CHECK(torch::equal(two.geometry.camera_to_lidar.select(1, 0), six.geometry.camera_to_lidar.select(1, 3)));
  const auto refusal = [&](const std::string& cameras) -> std::string {
    try {
      batch_of(cameras);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "";
  };
  CHECK(refusal("CAM_FRONT, CAM_ROOF").find("'CAM_ROOF'; there are: CAM_FRONT") != std::string::npos);
  CHECK(refusal("CAM_FRONT, CAM_FRONT").find("twice") != std::string::npos);
  CHECK(refusal("").find("data.cameras") != std::string::npos);
  RunConfig config = bevfusion::testing::tiny_config();
  config.data.lidar = "LIDAR_ROOF";
  CHECK_THROWS_AS(read_tables(config.data.root, config.data.version, tables_options(config.data)), DataError);
}

TEST_CASE("resampled epochs hold rare classes oftener, and a sample's copies are augmented each anew", "[bevfusion][paste]") {
  RunConfig config = bevfusion::testing::tiny_config();
  config.data.sampling = "class_balanced";
  config.data.labels = "disjoint_balance";
  config.training.batch = 1;
  check(config);
  const auto& rows = TinyData::get().training;
  const TrainingData data(TinyData::get().tables, rows, config);
  // mmdetection3d's count: int(appearances / classes) draws for each class that appears.
  std::size_t appearances = 0;
  std::set<DetectionClass> classes;
  for (const RowIndex row : rows) {
    std::set<DetectionClass> here;
    for (const Box3D& box : key_frame_of(TinyData::get().tables, row).boxes) {
      if (box.lidar_points + box.radar_points > 0) {
        here.insert(box.label);
      }
    }
    appearances += here.size();
    classes.insert(here.begin(), here.end());
  }
  CHECK(data.samples() == appearances / classes.size() * classes.size());
  REQUIRE(data.samples() > rows.size());
  std::map<RowIndex, std::vector<std::size_t>> of_row;
  for (std::size_t sample = 0; sample < data.samples(); ++sample) {
    of_row[data.row(sample)].push_back(sample);
  }
  const Sampler sampler(data.samples(), 1, config.training.seed);
  std::map<std::size_t, std::size_t> batch_of;
  for (std::size_t k = 0; k < data.batches(); ++k) {
    batch_of[sampler.batch(0, k).front()] = k;
  }
  bool compared = false;
  for (const auto& [row, samples] : of_row) {
    if (samples.size() > 1 && !compared) {
      compared = true;
      const TrainingBatch a = data.load(0, batch_of.at(samples[0]));
      const TrainingBatch b = data.load(0, batch_of.at(samples[1]));
      CHECK_FALSE(torch::equal(a.batch.input.geometry.lidar_augmentation, b.batch.input.geometry.lidar_augmentation));
      CHECK(a.boxes_labelled == b.boxes_labelled);
      CHECK(a.batch.labelled.equal(b.batch.labelled));
    }
  }
  CHECK(compared);
}

}  // namespace
