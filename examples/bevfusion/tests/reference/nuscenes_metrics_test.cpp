// SPDX-License-Identifier: Apache-2.0
// The detection evaluation against nuScenes' own devkit on random boxes. The expected figures are the devkit's, made by
// nuscenes_golden.py (see there for versions and command), not by the code under test.
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "bevfusion/metrics/detection_evaluation.hpp"
#include "bevfusion/metrics/detection_json.hpp"
#include "bevfusion/metrics/submission.hpp"
#include "support/catch.hpp"

namespace {

using bevfusion::DetectionBox;
using bevfusion::EvaluationSample;
using Json = nlohmann::ordered_json;

double number(const Json& json) { return json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>(); }

template <std::size_t count>
std::array<double, count> numbers(const Json& json) {
  std::array<double, count> out{};
  for (std::size_t i = 0; i < count; ++i) {
    out[i] = number(json.at(i));
  }
  return out;
}

template <class Names>
std::size_t position(const Names& names, const std::string& text) {
  const auto found = std::find(names.begin(), names.end(), text);
  REQUIRE(found != names.end());
  return static_cast<std::size_t>(found - names.begin());
}

DetectionBox box_of(const Json& json) {
  DetectionBox box;
  box.translation = numbers<3>(json.at(0));
  box.size = numbers<3>(json.at(1));
  box.rotation = numbers<4>(json.at(2));
  box.velocity = numbers<2>(json.at(3));
  box.detection_class = static_cast<bevfusion::DetectionClass>(position(bevfusion::detection_class_names, json.at(4)));
  box.attribute = static_cast<bevfusion::Attribute>(position(bevfusion::attribute_names, json.at(5)));
  box.score = json.at(6);
  box.point_count = json.at(7);
  return box;
}

Json golden_sets() {
  std::ifstream file(FULLER_SOURCE_DIR "/examples/bevfusion/tests/reference/nuscenes_golden.json");
  REQUIRE(file.good());
  return Json::parse(file);
}

std::vector<EvaluationSample> samples_of(const Json& set) {
  std::vector<EvaluationSample> samples;
  for (const Json& json : set.at("samples")) {
    EvaluationSample sample;
    sample.token = json.at("token");
    sample.ego = numbers<2>(json.at("ego"));
    for (const Json& rack : json.at("racks")) {
      sample.bicycle_racks.push_back({numbers<3>(rack.at(0)), numbers<3>(rack.at(1)), numbers<4>(rack.at(2))});
    }
    for (const Json& box : json.at("truth")) {
      sample.truth.push_back(box_of(box));
    }
    samples.push_back(sample);
  }
  return samples;
}

bevfusion::Submission submission_of(const Json& set) {
  bevfusion::Submission submission;
  submission.use_lidar = true;
  for (const auto& [token, boxes] : set.at("predictions").items()) {
    submission.results.emplace_back(token, std::vector<DetectionBox>());
    for (const Json& box : boxes) {
      submission.results.back().second.push_back(box_of(box));
    }
  }
  return submission;
}

/// Every number of `expected` must stand at the same place in `actual`; both null where one is.
void check_equal(const Json& actual, const Json& expected, const std::string& path) {
  if (expected.is_structured()) {
    REQUIRE(actual.size() == expected.size());
    for (const auto& [key, value] : expected.items()) {
      const Json& other = expected.is_array() ? actual.at(std::stoul(key)) : actual.at(key);
      check_equal(other, value, path + "/" + key);
    }
    return;
  }
  INFO(path << ": " << actual << " against the devkit's " << expected);
  if (expected.is_null()) {
    CHECK(!std::isfinite(number(actual)));
  } else {
    CHECK(std::abs(number(actual) - number(expected)) <= 1e-10 * (1 + std::abs(number(expected))));
  }
}

}  // namespace

TEST_CASE("every figure of the nuScenes devkit is met on random boxes", "[bevfusion][nuscenes]") {
  const Json sets = golden_sets();
  REQUIRE(sets.size() == 5);
  for (const Json& set : sets) {
    INFO(set.at("title"));
    const auto samples = bevfusion::join(samples_of(set), submission_of(set));

    const auto kept = bevfusion::evaluated_only(samples, {});
    std::size_t truth = 0;
    std::size_t predictions = 0;
    for (const EvaluationSample& sample : kept) {
      truth += sample.truth.size();
      predictions += sample.predictions.size();
    }
    CHECK(truth == set.at("kept").at("truth"));
    CHECK(predictions == set.at("kept").at("predictions"));

    const auto evaluation = bevfusion::evaluate_detection(samples);
    Json summary = bevfusion::metrics_summary(evaluation.summary);
    for (const char* ours_alone : {"eval_time", "cfg", "meta"}) {
      REQUIRE(summary.erase(ours_alone) == 1);
    }
    check_equal(summary, set.at("summary"), "summary");

    const Json details = bevfusion::metrics_details(evaluation);
    CHECK(details.size() == 40);
    for (const auto& [key, curves] : set.at("curves").items()) {
      Json ours = details.at(key);
      REQUIRE(ours.erase("recall") == 1);
      check_equal(ours, curves, key);
    }
  }
}

TEST_CASE("the random boxes are worth a test: they reach every rule", "[bevfusion][nuscenes]") {
  std::size_t unknown_velocities = 0;
  std::size_t unknown_predicted_velocities = 0;
  std::size_t without_attribute = 0;
  std::size_t without_points = 0;
  std::size_t in_racks = 0;
  std::size_t out_of_range = 0;
  std::size_t zero_scores = 0;
  for (const Json& set : golden_sets()) {
    for (const EvaluationSample& sample : bevfusion::join(samples_of(set), submission_of(set))) {
      EvaluationSample no_racks = sample;
      no_racks.bicycle_racks.clear();
      for (const DetectionBox& box : sample.truth) {
        unknown_velocities += std::isnan(box.velocity[0]) ? 1 : 0;
        without_attribute += box.attribute == bevfusion::Attribute::none ? 1 : 0;
        without_points += box.point_count == 0 ? 1 : 0;
        in_racks += bevfusion::is_evaluated(box, no_racks, {}) && !bevfusion::is_evaluated(box, sample, {}) ? 1 : 0;
      }
      for (const DetectionBox& box : sample.predictions) {
        unknown_predicted_velocities += std::isnan(box.velocity[0]) ? 1 : 0;
        zero_scores += box.score == 0 ? 1 : 0;
        in_racks += bevfusion::is_evaluated(box, no_racks, {}) && !bevfusion::is_evaluated(box, sample, {}) ? 1 : 0;
        out_of_range += bevfusion::is_evaluated(box, no_racks, {}) ? 0 : 1;
      }
    }
  }
  CHECK(unknown_velocities >= 20);
  CHECK(unknown_predicted_velocities >= 10);
  CHECK(without_attribute >= 20);
  CHECK(without_points >= 20);
  CHECK(in_racks >= 5);
  CHECK(out_of_range >= 20);
  CHECK(zero_scores >= 2);
}

TEST_CASE("a submission survives being written and read, and evaluates to the same figures", "[bevfusion][nuscenes]") {
  for (const Json& set : golden_sets()) {
    const bevfusion::Submission submission = submission_of(set);
    std::stringstream file;
    bevfusion::write_submission(file, submission);
    const bevfusion::Submission again = bevfusion::read_submission(file, "file");
    CHECK(again.use_lidar);
    CHECK_FALSE(again.use_camera);
    REQUIRE(again.results.size() == submission.results.size());
    const auto before = bevfusion::evaluate_detection(bevfusion::join(samples_of(set), submission)).summary;
    const auto after = bevfusion::evaluate_detection(bevfusion::join(samples_of(set), again)).summary;
    CHECK(after.nd_score == before.nd_score);
    CHECK(after.errors == before.errors);
    CHECK(after.label_aps == before.label_aps);
  }
}
