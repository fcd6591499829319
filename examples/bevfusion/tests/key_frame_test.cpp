// SPDX-License-Identifier: Apache-2.0
// The readers on one real nuScenes key frame, where it is at hand.
#include <cmath>
#include <map>
#include <regex>

#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/map/map_masks.hpp"
#include "bevfusion/nuscenes/bytes.hpp"
#include "bevfusion/nuscenes/image_file.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "support/catch.hpp"

using namespace bevfusion;

namespace {
constexpr const char* absent = "no real nuScenes key frame here (FULLER_NUSCENES_KEYFRAME names its folder)";
}

TEST_CASE("the real key frame is what its README says", "[nuscenes][real]") {
  const std::filesystem::path root = testing::real_key_frame();
  if (root.empty()) FULLER_SKIP(absent);
  const Tables tables = read_tables(root, "v1.0-mini");
  REQUIRE(tables.samples.size() == 1);
  const KeyFrame frame = key_frame_of(tables, 0, {10});
  CHECK(frame.scene == "scene-0061");
  CHECK(frame.location == "singapore-onenorth");
  CHECK(frame.sweeps.size() == 1);  // no older ones are there
  CHECK(frame.boxes.size() == 68);
  for (const Box3D& box : frame.boxes) {
    CHECK_FALSE(box.velocity_known());  // one sample: no neighbours
    CHECK(box.attribute == Attribute::none);
  }
  const std::vector<SweepPoint> points = read_points(frame);
  REQUIRE(points.size() == 34688);
  CHECK(read_points(frame, {1.0F, true}).size() < 30000);  // the car itself is over a fifth of the returns

  int matching = 0;
  int inside = 0;
  int annotated = 0;
  for (const Box3D& box : frame.boxes) {
    const int own = count_points_in(box, points);
    matching += std::abs(own - box.lidar_points) <= std::max(2.0, 0.03 * box.lidar_points) ? 1 : 0;
    inside += own;
    annotated += box.lidar_points;
  }
  CHECK(matching >= 66);
  CHECK(inside == Approx(annotated).epsilon(0.03));
}

TEST_CASE("real points land in real boxes in the real images", "[nuscenes][real]") {
  const std::filesystem::path root = testing::real_key_frame();
  if (root.empty()) FULLER_SKIP(absent);
  const KeyFrame frame = key_frame_of(read_tables(root, "v1.0-mini"), 0);
  // Cameras look where their names say, in the LiDAR's frame (x right, y ahead): azimuth from ahead, counter-clockwise, degrees.
  const std::map<Channel, double> azimuths = {{Channel::cam_front, 0},         {Channel::cam_front_left, 55},
                                              {Channel::cam_front_right, -56}, {Channel::cam_back_left, 109},
                                              {Channel::cam_back_right, -111}, {Channel::cam_back, 180}};
  for (const auto& [channel, azimuth] : azimuths) {
    const CameraFrame& camera = frame.cameras[static_cast<std::size_t>(channel)];
    REQUIRE(camera.present);
    const Eigen::Vector3d axis = camera.view.camera_from_lidar.rotation.transpose() * Eigen::Vector3d::UnitZ();
    const double own = std::atan2(-axis.x(), axis.y()) * 180 / pi;
    INFO(name_of(channel));
    CHECK(std::abs(wrap_angle((own - azimuth) * pi / 180)) * 180 / pi < 2.5);
    const Image image = read_image(camera.file);
    CHECK((image.width == 1600 && image.height == 900));
    CHECK((camera.view.width == 1600 && camera.view.height == 900));
  }
  // Every box ahead of some camera is seen by one, its centre at a height between horizon and bumper or near it.
  int seen = 0;
  for (const Box3D& box : frame.boxes) {
    for (const CameraFrame& camera : frame.cameras) {
      const auto uvd = camera.view.project(box.center);
      if (!uvd || !camera.view.in_image(*uvd)) continue;
      ++seen;
      CHECK((uvd->y() > 350 && uvd->y() < 750));
      break;
    }
  }
  CHECK(seen == 68);  // six cameras look all round
  // Between LiDAR and cameras the car moved: the two ego poses differ, and so must the positions.
  const Eigen::Vector3d front = frame.cameras[0].view.camera_from_lidar.inverse().translation;
  CHECK(front.y() == Approx(0.757 - 0.328).margin(0.02));  // 0.757 m between the sensors; the car went 0.328 m in 35 ms
}

TEST_CASE("the real map with its tokens written as UUIDs is the same map", "[map][token][real]") {
  const std::filesystem::path root = testing::real_key_frame();
  if (root.empty()) FULLER_SKIP(absent);
  const KeyFrame frame = key_frame_of(read_tables(root, "v1.0-mini"), 0);
  const std::filesystem::path file = root / "maps" / "expansion" / (frame.location + ".json");
  const std::vector<std::uint8_t> bytes = read_bytes(file);
  const std::string text(bytes.begin(), bytes.end());
  // As the published map expansion has them, the copy at hand without: dashes at 8-4-4-4-12.
  const std::string dashed = std::regex_replace(
      text, std::regex("\"([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})\""), "\"$1-$2-$3-$4-$5\"");
  REQUIRE(dashed.size() > text.size() + 4 * 100);
  const testing::TemporaryFolder folder;
  write_bytes(folder.path() / "map.json", dashed.data(), dashed.size());
  const MapLabels& labels = label_sets().map.at(standard_map_labels);
  const Eigen::Matrix3d bev = bev_from_global(frame.global_from_lidar());
  const MapMasks as_uuids = draw_masks(read_map_expansion(folder.path() / "map.json", labels), bev);
  const MapMasks as_digits = draw_masks(read_map_expansion(file, labels), bev);
  CHECK(as_uuids.labelled == as_digits.labelled);
  CHECK(as_uuids.values == as_digits.values);
  CHECK(as_uuids.at("drivable_area", 100, 100));
}

TEST_CASE("real drivable area: expansion and base map agree, and the road is flat", "[map][real]") {
  const std::filesystem::path root = testing::real_key_frame();
  if (root.empty()) FULLER_SKIP(absent);
  const KeyFrame frame = key_frame_of(read_tables(root, "v1.0-mini"), 0);
  const Eigen::Matrix3d bev = bev_from_global(frame.global_from_lidar());
  const MapLabels& labels = label_sets().map.at(standard_map_labels);
  MaskOptions by_centres;
  by_centres.rule = "centres";
  const MapMasks drawn =
      draw_masks(read_map_expansion(root / "maps" / "expansion" / (frame.location + ".json"), labels), bev, {}, by_centres);
  CHECK(drawn.labelled == std::vector<bool>{true, false, false, false, false, false});
  const MapMasks sampled = draw_masks(BaseMap::read(frame.base_map), labels, bev, {}, by_centres);
  int both = 0;
  int either = 0;
  for (int x = 0; x < 200; ++x) {
    for (int y = 0; y < 200; ++y) {
      const bool a = drawn.at("drivable_area", x, y);
      const bool b = sampled.at("drivable_area", x, y);
      both += a && b ? 1 : 0;
      either += a || b ? 1 : 0;
    }
  }
  CHECK(both > 5000);
  CHECK(both > 0.97 * either);
  // A pixel of the base map reaches from its number to the next, in tenths of a metre: so it lies on the expansion. The devkit's
  // MapMask.is_on_mask() rounds to the nearest number instead, which moves the map by half a pixel.
  const MapGrid fine{50, 1000};
  const MapMasks area =
      draw_masks(read_map_expansion(root / "maps" / "expansion" / (frame.location + ".json"), labels), bev, fine, by_centres);
  const auto disagreeing = [&](double east, double north) {
    Eigen::Matrix3d moved = bev;
    moved.topRightCorner<2, 1>() -= bev.topLeftCorner<2, 2>() * Eigen::Vector2d(east, north);
    const MapMasks read = draw_masks(BaseMap::read(frame.base_map), labels, moved, fine, by_centres);
    int cells = 0;
    for (int x = 0; x < fine.cells; ++x) {
      for (int y = 0; y < fine.cells; ++y) {
        cells += area.at("drivable_area", x, y) != read.at("drivable_area", x, y) ? 1 : 0;
      }
    }
    return cells;
  };
  const int as_read = disagreeing(0, 0);
  const int as_rounded = disagreeing(0.05, -0.05);
  CAPTURE(as_read, as_rounded);
  CHECK(as_read < 0.85 * as_rounded);
  // Against the LiDAR: the car stands on the road, and what is drivable hardly rises from the ground (sensor 1.84 m above it)
  // except where a box stands; elsewhere walls and trees do.
  CHECK(drawn.at("drivable_area", 100, 100));
  int low[2] = {0, 0};
  int high[2] = {0, 0};
  std::vector<BoxInterior> boxes;
  for (Box3D box : frame.boxes) {
    box.size.array() += 0.6;
    boxes.emplace_back(box);
  }
  for (const SweepPoint& p : read_points(frame, {1.5F, true})) {
    if (std::hypot(p.x, p.y) > 25 || std::hypot(p.x, p.y) < 4) continue;
    bool in_box = false;
    for (const BoxInterior& box : boxes) in_box = in_box || box.contains(p.x, p.y, p.z);
    if (in_box) continue;
    const int x = static_cast<int>((p.x + 50) / 0.5);
    const int y = static_cast<int>((p.y + 50) / 0.5);
    const int on_road = drawn.at("drivable_area", x, y) ? 1 : 0;
    (p.z > -1.84 + 0.4 ? high : low)[on_road] += 1;
  }
  const auto share = [&](int on_road) { return static_cast<double>(high[on_road]) / (high[on_road] + low[on_road]); };
  CAPTURE(share(0), share(1));
  CHECK(share(1) < 0.05);
  CHECK(share(0) > 5 * share(1));
}
