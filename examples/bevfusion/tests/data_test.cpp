// SPDX-License-Identifier: Apache-2.0
// Geometry and the readers' parts, on values worked out by hand.
#include <cmath>
#include <cstring>
#include <set>
#include <sstream>
#include <thread>

#include "bevfusion/geometry/box.hpp"
#include "bevfusion/geometry/camera_view.hpp"
#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/matching/foreground_mask.hpp"
#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/image_file.hpp"
#include "bevfusion/nuscenes/json_rows.hpp"
#include "bevfusion/nuscenes/lidar_file.hpp"
#include "bevfusion/nuscenes/splits.hpp"
#include "bevfusion/nuscenes/tables.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "bevfusion/training/split_samples.hpp"
#include "support/catch.hpp"

using namespace bevfusion;

namespace {

double distance(const Eigen::Vector3d& a, const Eigen::Vector3d& b) { return (a - b).norm(); }

}  // namespace

TEST_CASE("quaternions are w, x, y, z", "[geometry]") {
  // A quarter turn about z: (cos 45, 0, 0, sin 45) takes x to y.
  const double h = std::sqrt(0.5);
  const Eigen::Matrix3d turn = rotation_of({h, 0, 0, h});
  CHECK(distance(turn * Eigen::Vector3d(1, 0, 0), {0, 1, 0}) < 1e-15);
  CHECK(yaw_of(turn) == Approx(pi / 2));
  // A third of a turn about (1, 1, 1) takes x to y, y to z and z to x.
  const Eigen::Matrix3d third = rotation_of({0.5, 0.5, 0.5, 0.5});
  CHECK(distance(third * Eigen::Vector3d(1, 2, 3), {3, 1, 2}) < 1e-15);
  const auto back = quaternion_of(third);
  for (const double part : back) CHECK(part == Approx(0.5));
  CHECK_THROWS_AS(rotation_of({0, 0, 0, 0}), std::invalid_argument);
  CHECK_THROWS_AS(rotation_of({std::nan(""), 0, 0, 1}), std::invalid_argument);
}

TEST_CASE("transforms compose and invert", "[geometry]") {
  const RigidTransform a{rotation_about_z(0.3), {1, 2, 3}};
  const RigidTransform b{rotation_of({0.5, 0.5, 0.5, 0.5}), {-4, 0, 1}};
  const Eigen::Vector3d p(0.7, -2, 5);
  CHECK(distance((a * b) * p, a * (b * p)) < 1e-14);
  CHECK(distance(a.inverse() * (a * p), p) < 1e-14);
  CHECK(distance((a.matrix() * p.homogeneous()).head<3>(), a * p) < 1e-14);
  CHECK(wrap_angle(3 * pi / 2) == Approx(-pi / 2));
  CHECK(wrap_angle(-7 * pi / 2) == Approx(pi / 2));
}

TEST_CASE("a box's corners and inside", "[geometry]") {
  Box3D box;
  box.center = {10, 20, 1};
  box.size = {2, 4, 1.5};  // width, length, height
  box.yaw = pi / 2;        // its front points to +y
  const auto corners = corners_of(box);
  CHECK(distance(corners[0], {9, 22, 1.75}) < 1e-12);   // front left top
  CHECK(distance(corners[7], {11, 18, 0.25}) < 1e-12);  // back right bottom
  for (const auto& edge : box_edges) {
    const double length = distance(corners[static_cast<std::size_t>(edge[0])], corners[static_cast<std::size_t>(edge[1])]);
    CHECK((std::abs(length - 2) < 1e-12 || std::abs(length - 4) < 1e-12 || std::abs(length - 1.5) < 1e-12));
  }
  const std::vector<LidarPoint> points = {{10, 21.9F, 1}, {10.9F, 20, 1}, {11.9F, 20, 1}, {10, 20, 1.8F}, {10, 22.1F, 1}};
  CHECK(count_points_in(box, points) == 2);
  CHECK_FALSE(box.velocity_known());
}

TEST_CASE("a camera looks along z, x right and y down", "[geometry]") {
  CameraView view;
  view.width = 100;
  view.height = 50;
  view.intrinsic << 40, 0, 50, 0, 40, 25, 0, 0, 1;
  // LiDAR axes x right, y forward, z up: forward becomes depth.
  view.camera_from_lidar.rotation << 1, 0, 0, 0, 0, -1, 0, 1, 0;
  const auto uvd = view.project({1, 4, 0.5});
  REQUIRE(uvd);
  CHECK(uvd->x() == Approx(50 + 40 * 0.25));
  CHECK(uvd->y() == Approx(25 - 40 * 0.125));
  CHECK(uvd->z() == Approx(4));
  CHECK_FALSE(view.project({1, -4, 0.5}));
  CHECK_FALSE(view.in_image({100, 10, 1}));
}

TEST_CASE("a token is any text and comes back as it was", "[nuscenes]") {
  const std::vector<std::string> texts = {"0123456789abcdeffedcba9876543210",
                                          "01234567-89ab-cdef-fedc-ba9876543210",
                                          "0123456789ABCDEFFEDCBA9876543210",
                                          "01234567-89AB-CDEF-FEDC-BA9876543210",
                                          "0123456789abcdeffedcba987654321g",
                                          "0123456-789ab-cdef-fedc-ba9876543210",
                                          "00000000000000000000000000000000",
                                          "00000000-0000-0000-0000-000000000000",
                                          "0123456789abcdeffedcba987654321",
                                          "1",
                                          "sample 7 / front \"left\" \xc3\xa4\n",
                                          std::string("a\0b", 3),
                                          std::string("a\0c", 3),
                                          "a",
                                          std::string(5000, 'x')};
  for (const std::string& text : texts) {
    INFO(text);
    const Token token(text);
    CHECK(to_string(token) == text);
    CHECK_FALSE(token.empty());
    for (const std::string& other : texts) CHECK((Token(other) == token) == (other == text));
    CHECK(std::hash<Token>()(token) == std::hash<Token>()(Token(text)));
    CHECK(token.bits() == Token(text).bits());
  }
  CHECK(Token("").empty());
  CHECK(Token("") == Token());
  CHECK(to_string(Token()).empty());
  // What augmentation draws from stays what it was for nuScenes' own tokens.
  CHECK(Token(texts[0]).bits() == std::array<std::uint64_t, 2>{0x0123456789abcdefULL, 0xfedcba9876543210ULL});
  CHECK(Token(texts[0]) == Token::of_digits(0x0123456789abcdefULL, 0xfedcba9876543210ULL));
  CHECK(Token(texts[1]) == Token::of_uuid(0x0123456789abcdefULL, 0xfedcba9876543210ULL));
  static_assert(sizeof(Token) == 24);
}

TEST_CASE("texts of tokens are shared, moved and dropped", "[nuscenes]") {
  Token a("front left");
  Token b = a;
  const Token c = std::move(a);
  b = b;
  CHECK(b == c);
  a = Token("x");
  std::swap(a, b);
  CHECK(to_string(a) == "front left");
  CHECK(to_string(b) == "x");
  std::vector<Token> many(100, c);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&many, t] {
      for (int i = 0; i < 1000; ++i) {
        std::vector<Token> own = many;
        own[static_cast<std::size_t>(t)] = Token("other");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  many.clear();
  CHECK(to_string(c) == "front left");
}

TEST_CASE("14 of 23 categories make ten classes", "[nuscenes]") {
  const std::vector<std::string> all = {"human.pedestrian.adult",
                                        "human.pedestrian.child",
                                        "human.pedestrian.wheelchair",
                                        "human.pedestrian.stroller",
                                        "human.pedestrian.personal_mobility",
                                        "human.pedestrian.police_officer",
                                        "human.pedestrian.construction_worker",
                                        "animal",
                                        "vehicle.car",
                                        "vehicle.motorcycle",
                                        "vehicle.bicycle",
                                        "vehicle.bus.bendy",
                                        "vehicle.bus.rigid",
                                        "vehicle.truck",
                                        "vehicle.construction",
                                        "vehicle.emergency.ambulance",
                                        "vehicle.emergency.police",
                                        "vehicle.trailer",
                                        "movable_object.barrier",
                                        "movable_object.trafficcone",
                                        "movable_object.pushable_pullable",
                                        "movable_object.debris",
                                        "static_object.bicycle_rack"};
  REQUIRE(all.size() == 23);
  const DetectionLabels& labels = standard_boxes();
  REQUIRE(labels.size() == detection_class_count);
  int kept = 0;
  std::set<DetectionClass> classes;
  for (const std::string& name : all) {
    const auto label = class_of_category(labels, name);
    if (!label) continue;
    ++kept;
    classes.insert(*label);
  }
  CHECK(kept == 14);
  CHECK(classes.size() == 10);
  CHECK(class_of_category(labels, "vehicle.bus.bendy") == DetectionClass::bus);
  CHECK(class_of_category(labels, "vehicle.construction") == DetectionClass::construction_vehicle);
  for (std::size_t i = 0; i < detection_class_count; ++i) {
    const auto label = static_cast<DetectionClass>(i);
    CHECK(labels[i].name == name_of(label));
    CHECK(class_of_category(labels, labels[i].categories.front()) == label);
  }
  CHECK(attribute_of("cycle.with_rider") == Attribute::cycle_with_rider);
  CHECK(attribute_of("something new") == Attribute::none);
  CHECK(attribute_by_speed(labels[index_of(DetectionClass::bus)], 0.1) == Attribute::vehicle_stopped);
  CHECK(attribute_by_speed(labels[index_of(DetectionClass::car)], 0.1) == Attribute::vehicle_parked);
  CHECK(attribute_by_speed(labels[index_of(DetectionClass::pedestrian)], 0.3) == Attribute::pedestrian_moving);
  CHECK(attribute_by_speed(labels[index_of(DetectionClass::barrier)], 3) == Attribute::none);
}

TEST_CASE("classes fall into 1, 3 or 10 foreground masks", "[foreground]") {
  const DetectionLabels& labels = standard_boxes();
  for (const DetectionClass label : detection_classes) {
    CHECK(foreground_mask(labels, label, 1) == 0);
    CHECK(foreground_mask(labels, label, 10) == index_of(label));
  }
  CHECK(foreground_mask(labels, DetectionClass::trailer, 3) == 0);
  CHECK(foreground_mask(labels, DetectionClass::bicycle, 3) == 1);
  CHECK(foreground_mask(labels, DetectionClass::pedestrian, 3) == 1);
  CHECK(foreground_mask(labels, DetectionClass::traffic_cone, 3) == 2);
  CHECK_THROWS_AS(foreground_mask(labels, DetectionClass::car, 2), std::invalid_argument);
}

TEST_CASE("the official splits", "[nuscenes]") {
  const auto train = official_split("train");
  const auto val = official_split("val");
  CHECK(train.size() == 700);
  CHECK(val.size() == 150);
  std::set<std::string> all(train.begin(), train.end());
  all.insert(val.begin(), val.end());
  CHECK(all.size() == 850);  // disjoint
  CHECK(official_split("mini_train") == std::vector<std::string>{"scene-0061", "scene-0553", "scene-0655", "scene-0757",
                                                                 "scene-0796", "scene-1077", "scene-1094", "scene-1100"});
  CHECK(official_split("mini_val") == std::vector<std::string>{"scene-0103", "scene-0916"});
  for (const std::string& name : official_split("mini_val")) CHECK(std::count(val.begin(), val.end(), name) == 1);
  CHECK(scenes_of_split("anywhere/v1.0-mini", "val") == official_split("mini_val"));
  CHECK(scenes_of_split("anywhere/v1.0-trainval", "val") == val);
  CHECK(official_name("anywhere/v1.0-mini", "val") == "mini_val");
  CHECK(official_name("anywhere/v1.0-mini", "mini_val") == "mini_val");
  CHECK(official_name("anywhere/v1.0-trainval", "val") == "val");
  // A split that there is none of keeps the name it was asked for by.
  CHECK_THROWS_WITH(scenes_of_split("anywhere/v1.0-mini", "tset"),
                    "no split 'tset': train, val, test, mini_train and mini_val are known");
  const auto test = official_split("test");
  CHECK(test.size() == 150);
  all.insert(test.begin(), test.end());
  CHECK(all.size() == 1000);
  CHECK(test.front() == "scene-0077");
  CHECK(test.back() == "scene-1043");
  CHECK(scenes_of_split("anywhere/v1.0-test", "test") == test);
  CHECK_THROWS_AS(official_split("trian"), DataError);
}

TEST_CASE("a split without a scene says which splits have some, and what chooses one", "[nuscenes]") {
  Tables tables;
  tables.folder = "anywhere/v1.0-test";
  tables.scenes.resize(2);
  tables.scenes[0].name = "scene-0077";
  tables.scenes[0].first_sample = 0;
  tables.scenes[1].name = "scene-1043";
  tables.scenes[1].first_sample = 1;
  tables.samples.resize(2);
  CHECK(samples_needed(tables, "test", "--split").rows == std::vector<RowIndex>{0, 1});
  CHECK_THROWS_WITH(samples_needed(tables, "val", "--split"),
                    "no scene of split val is in anywhere/v1.0-test; there are scenes of: test (2); --split chooses");
  tables.scenes.clear();
  CHECK_THROWS_WITH(samples_needed(tables, "val", "--split"), "no scene of split val is in anywhere/v1.0-test; no split has any");
}

TEST_CASE("rows stream by with the kept fields only", "[nuscenes]") {
  std::istringstream stream(
      R"([{"token": "00000000000000000000000000000001", "n": 3, "x": 2.5, "skip": {"n": 9, "list": [[1], 2]},
    "list": [[1, 2], [3]], "flag": true, "refs": [], "nothing": null}, {"token": "", "n": 4}])");
  int rows = 0;
  JsonRowsVisitor visitor;
  visitor.fields = {"token", "n", "x", "list", "flag", "refs", "nothing"};
  visitor.row = [&](const JsonRow& row) {
    if (rows++ == 1) {
      CHECK(row.integer("n") == 4);
      CHECK_FALSE(row.has("x"));  // the row before does not shine through
      CHECK_THROWS_AS(row.required_token("token"), DataError);
      return;
    }
    CHECK(row.required_token("token") == Token("00000000000000000000000000000001"));
    CHECK(row.integer("n") == 3);
    CHECK(row.number("n") == 3);
    CHECK(row.number("x") == 2.5);
    CHECK(row.numbers("list") == std::vector<double>{1, 2, 3});
    CHECK(row.flag("flag"));
    CHECK(row.tokens("refs").empty());
    CHECK_FALSE(row.has("nothing"));
    CHECK_THROWS_AS(row.integer("x"), DataError);
    CHECK_THROWS_AS(row.numbers<2>("list"), DataError);
  };
  visit_json_rows(stream, "rows.json", visitor);
  CHECK(rows == 2);
}

TEST_CASE("velocity follows the devkit's rule", "[nuscenes]") {
  // One object at x = 0, 1, 4, 9 m at times 0, 0.5, 1, 4 s.
  Tables tables;
  const double x[] = {0, 1, 4, 9};
  const std::int64_t time[] = {0, 500'000, 1'000'000, 4'000'000};
  for (int i = 0; i < 4; ++i) {
    SampleRow sample;
    sample.timestamp = time[i];
    tables.samples.push_back(sample);
    AnnotationRow annotation;
    annotation.sample = i;
    annotation.translation = {x[i], 0, 0};
    annotation.previous = i - 1;
    annotation.next = i < 3 ? i + 1 : -1;
    tables.annotations.push_back(annotation);
  }
  CHECK(velocity_of(tables, 0).x() == Approx(2));             // forward, 1 m in 0.5 s
  CHECK(velocity_of(tables, 1).x() == Approx(4));             // centred, 4 m in 1 s
  CHECK_FALSE(velocity_of(tables, 2).allFinite());            // centred over 3.5 s: more than twice 1.5 s
  CHECK_FALSE(velocity_of(tables, 3).allFinite());            // backward over 3 s
  CHECK(velocity_of(tables, 3, 3.0).x() == Approx(5.0 / 3));  // unless one allows it
  tables.annotations[0].next = -1;
  CHECK_FALSE(velocity_of(tables, 0).allFinite());  // alone
}

TEST_CASE("LiDAR files are five floats a point", "[nuscenes]") {
  const testing::TemporaryFolder folder;
  const std::vector<LidarPoint> points = {{1, 2, 3, 4, 5}, {-1.5F, 0, 0.25F, 255, 31}};
  const auto file = folder.path() / "a.pcd.bin";
  write_lidar(file, points);
  CHECK(std::filesystem::file_size(file) == 40);
  const auto back = read_lidar(file);
  REQUIRE(back.size() == 2);
  CHECK(std::memcmp(back.data(), points.data(), 40) == 0);
  CHECK_THROWS_AS(decode_lidar(std::vector<std::uint8_t>(39), "x"), DataError);
  CHECK(decode_lidar({}, "x").empty());
  std::vector<std::uint8_t> nan(20, 0xff);
  CHECK_THROWS_AS(decode_lidar(nan, "x"), DataError);
  // Four floats a point, as KITTI has them: five points are as many bytes as four of ours.
  std::vector<float> others;
  for (int i = 0; i < 5; ++i) others.insert(others.end(), {10.25F + static_cast<float>(i), -3.5F, 1.75F, 0.3F});
  std::vector<std::uint8_t> bytes(others.size() * sizeof(float));
  std::memcpy(bytes.data(), others.data(), bytes.size());
  REQUIRE(bytes.size() % sizeof(LidarPoint) == 0);
  try {
    decode_lidar(bytes, "000000.bin");
    FAIL("read");
  } catch (const DataError& error) {
    const std::string said = error.what();
    CHECK(said.find("000000.bin: point 0 has the ring 11.25") == 0);
    CHECK(said.find("four floats a point") != std::string::npos);
  }
}

TEST_CASE("pictures survive their files", "[nuscenes]") {
  Image image(64, 32);
  for (int y = 0; y < 32; ++y) {
    for (int x = 0; x < 64; ++x) image.set(x, y, {static_cast<std::uint8_t>(4 * x), static_cast<std::uint8_t>(8 * y), 60});
  }
  CHECK(decode_image(encode_ppm(image), "a.ppm").rgb == image.rgb);
  const Image jpeg = decode_image(encode_jpeg(image, 95), "a.jpg");
  REQUIRE((jpeg.width == 64 && jpeg.height == 32));
  int worst = 0;
  for (std::size_t i = 0; i < image.rgb.size(); ++i) worst = std::max(worst, std::abs(image.rgb[i] - jpeg.rgb[i]));
  CHECK(worst <= 16);  // a smooth picture loses little, in its chroma
  auto cut = encode_jpeg(image, 95);
  cut.resize(cut.size() / 2);
  CHECK_THROWS_AS(decode_image(cut, "a.jpg"), DataError);
  CHECK_THROWS_AS(decode_image({}, "a.jpg"), DataError);
  CHECK_THROWS_WITH(decode_image({0x89, 'P', 'N', 'G', 13, 10}, "a.jpg"),
                    "a.jpg: is a PNG, whatever its name says; pictures are JPEG or PPM");
}
