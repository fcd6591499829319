// SPDX-License-Identifier: Apache-2.0
// From tables on disk to figures, against the nuScenes devkit on the same tables (made by reference/nuscenes_golden.py).
#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "bevfusion/metrics/detection_evaluation.hpp"
#include "bevfusion/metrics/evaluation_sample.hpp"
#include "bevfusion/metrics/submission.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "support/catch.hpp"

namespace {

using bevfusion::DetectionBox;
using bevfusion::EvaluationSample;
using Json = nlohmann::ordered_json;

/// The set that has its tables with it.
Json set_with_tables() {
  std::ifstream file(FULLER_SOURCE_DIR "/examples/bevfusion/tests/reference/nuscenes_golden.json");
  REQUIRE(file.good());
  for (const Json& set : Json::parse(file)) {
    if (!set.at("tables").empty()) {
      return set;
    }
  }
  FAIL("no set with tables");
  return {};
}

bevfusion::Tables tables_of(const Json& set, const std::filesystem::path& root) {
  std::filesystem::create_directories(root / "v1.0-mini");
  for (const auto& [name, rows] : set.at("tables").items()) {
    std::ofstream(root / "v1.0-mini" / (name + ".json")) << rows.dump(1);
  }
  return bevfusion::read_tables(root, "v1.0-mini");
}

std::vector<EvaluationSample> samples_of(const bevfusion::Tables& tables) {
  std::vector<EvaluationSample> samples;
  for (std::size_t i = 0; i < tables.samples.size(); ++i) {
    samples.push_back(bevfusion::evaluation_sample(tables, static_cast<bevfusion::RowIndex>(i)));
  }
  return samples;
}

/// The set's predictions as a submission file, read back.
bevfusion::Submission submission_of(const Json& set) {
  Json results = Json::object();
  for (const auto& [token, boxes] : set.at("predictions").items()) {
    results[token] = Json::array();
    for (const Json& box : boxes) {
      results[token].push_back({{"sample_token", token},
                                {"translation", box.at(0)},
                                {"size", box.at(1)},
                                {"rotation", box.at(2)},
                                {"velocity", box.at(3)},
                                {"detection_name", box.at(4)},
                                {"attribute_name", box.at(5)},
                                {"detection_score", box.at(6)}});
    }
  }
  const Json meta = {
      {"use_camera", false}, {"use_lidar", true}, {"use_radar", false}, {"use_map", false}, {"use_external", false}};
  std::stringstream file(Json({{"meta", meta}, {"results", results}}).dump());
  return bevfusion::read_submission(file, "submission.json");
}

}  // namespace

TEST_CASE("tables and submission on disk evaluate to the devkit's figures", "[bevfusion][nuscenes]") {
  const Json set = set_with_tables();
  const bevfusion::testing::TemporaryFolder folder;
  const auto samples = samples_of(tables_of(set, folder.path()));
  REQUIRE(samples.size() == set.at("samples").size());
  for (const Json& expected : set.at("samples")) {
    const auto found = std::find_if(samples.begin(), samples.end(),
                                    [&](const EvaluationSample& sample) { return sample.token == expected.at("token"); });
    REQUIRE(found != samples.end());
    CHECK(found->bicycle_racks.size() == expected.at("racks").size());
    REQUIRE(found->truth.size() == expected.at("truth").size());
    for (std::size_t i = 0; i < found->truth.size(); ++i) {
      const Json& box = expected.at("truth").at(i);
      CHECK(bevfusion::name_of(found->truth[i].detection_class) == box.at(4).get<std::string>());
      CHECK(bevfusion::name_of(found->truth[i].attribute) == box.at(5).get<std::string>());
      CHECK(found->truth[i].point_count == box.at(7));
      for (std::size_t k = 0; k < 2; ++k) {
        const Json& velocity = box.at(3).at(k);
        CHECK(std::isnan(found->truth[i].velocity[k]) == velocity.is_null());
        if (!velocity.is_null()) {
          CHECK(found->truth[i].velocity[k] == Approx(velocity.get<double>()).epsilon(1e-9));
        }
      }
    }
  }
  const auto summary = bevfusion::evaluate_detection(bevfusion::join(samples, submission_of(set))).summary;
  const Json& devkit = set.at("summary");
  CHECK(summary.mean_ap == Approx(devkit.at("mean_ap").get<double>()).epsilon(1e-9));
  CHECK(summary.nd_score == Approx(devkit.at("nd_score").get<double>()).epsilon(1e-9));
  for (std::size_t k = 0; k < bevfusion::box_error_count; ++k) {
    const std::string key(bevfusion::box_error_names[k]);
    CHECK(summary.errors[k] == Approx(devkit.at("tp_errors").at(key).get<double>()).epsilon(1e-9));
  }
}

TEST_CASE("annotations taken into the LiDAR's frame and back as predictions are perfect", "[bevfusion][nuscenes]") {
  const bevfusion::testing::TemporaryFolder folder;
  std::filesystem::path root = bevfusion::testing::real_key_frame();
  double heading_margin = 1e-3;  // a box loses its tilt, which the real annotations do not have
  bevfusion::Tables tables;
  if (root.empty()) {
    tables = tables_of(set_with_tables(), folder.path());
    heading_margin = 0.1;
  } else {
    tables = bevfusion::read_tables(root, "v1.0-mini");
  }
  std::vector<EvaluationSample> samples = samples_of(tables);
  std::size_t annotated = 0;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const bevfusion::KeyFrame frame = bevfusion::key_frame_of(tables, static_cast<bevfusion::RowIndex>(i));
    for (const bevfusion::Box3D& box : frame.boxes) {
      samples[i].predictions.push_back(bevfusion::submitted_box(box, 0.5, frame.global_from_lidar()));
    }
    CHECK(samples[i].predictions.size() == samples[i].truth.size());
    annotated += samples[i].truth.size();
    for (DetectionBox& box : samples[i].truth) {
      box.point_count = -1;  // predictions are made of all of them
    }
  }
  REQUIRE(annotated > 0);
  const auto summary = bevfusion::evaluate_detection(samples).summary;
  CHECK(summary.mean_ap_of_present_classes() == Approx(1));
  for (std::size_t c = 0; c < bevfusion::detection_class_count; ++c) {
    if (summary.truth_counts[c] > 0) {
      CHECK(summary.label_errors[c][0] < 1e-6);
      CHECK(summary.label_errors[c][1] < 1e-6);
      if (!std::isnan(summary.label_errors[c][2])) {
        CHECK(summary.label_errors[c][2] < heading_margin);
      }
    }
  }
}

TEST_CASE("a predicted box without attribute gets one by class and speed", "[bevfusion][nuscenes]") {
  bevfusion::Box3D box;
  box.center = {1, 2, 3};
  box.size = {2, 4, 1.5};
  box.yaw = 0.25;
  box.velocity = {0.3, 0.4};
  // A quarter turn about z, then 10 m along x.
  const bevfusion::RigidTransform global_from_lidar{bevfusion::rotation_about_z(bevfusion::pi / 2), {10, 0, 0}};
  const DetectionBox submitted = bevfusion::submitted_box(box, 0.7, global_from_lidar);
  CHECK(submitted.translation[0] == Approx(8));
  CHECK(submitted.translation[1] == Approx(1));
  CHECK(submitted.translation[2] == Approx(3));
  CHECK(submitted.size == std::array<double, 3>{2, 4, 1.5});
  CHECK(bevfusion::heading_of(submitted.rotation) == Approx(0.25 + bevfusion::pi / 2));
  CHECK(submitted.velocity[0] == Approx(-0.4));
  CHECK(submitted.velocity[1] == Approx(0.3));
  CHECK(submitted.attribute == bevfusion::Attribute::vehicle_moving);
  CHECK(submitted.score == 0.7);
  box.velocity = {0.1, 0.1};
  CHECK(bevfusion::submitted_box(box, 0.7, global_from_lidar).attribute == bevfusion::Attribute::vehicle_parked);
  box.attribute = bevfusion::Attribute::vehicle_stopped;
  CHECK(bevfusion::submitted_box(box, 0.7, global_from_lidar).attribute == bevfusion::Attribute::vehicle_stopped);
}
