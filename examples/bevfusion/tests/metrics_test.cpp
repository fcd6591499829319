// SPDX-License-Identifier: Apache-2.0
// nuScenes detection evaluation on cases small enough to be worked out by hand; each expected figure has its derivation beside
// it.
#include <cmath>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bevfusion/metrics/detection_evaluation.hpp"
#include "bevfusion/metrics/detection_table.hpp"
#include "support/catch.hpp"

namespace {

using bevfusion::Attribute;
using bevfusion::BoxError;
using bevfusion::detection_classes;
using bevfusion::DetectionBox;
using bevfusion::DetectionClass;
using bevfusion::DetectionEvaluation;
using bevfusion::EvaluationSample;
using bevfusion::index_of;

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
constexpr double pi = 3.14159265358979323846;

std::array<double, 4> turned(double yaw) { return {std::cos(yaw / 2), 0, 0, std::sin(yaw / 2)}; }

/// A box that an identical prediction matches with no error at all.
DetectionBox box_at(double x, double y, DetectionClass detection_class = DetectionClass::car, double score = 0.5) {
  DetectionBox box;
  box.translation = {x, y, 1};
  box.size = {2, 4, 1.5};
  box.rotation = turned(0.3);
  box.velocity = {1, -2};
  box.detection_class = detection_class;
  box.attribute = Attribute::vehicle_moving;
  box.score = score;
  return box;
}

EvaluationSample one_of_each_class() {
  EvaluationSample sample;
  sample.token = "a";
  for (const DetectionClass detection_class : detection_classes) {
    sample.truth.push_back(box_at(2.0 * static_cast<double>(index_of(detection_class)), 5, detection_class));
  }
  sample.predictions = sample.truth;
  return sample;
}

double car_ap(const EvaluationSample& sample) { return bevfusion::evaluate_detection({sample}).summary.mean_distance_aps[0]; }

double car_error(const EvaluationSample& sample, BoxError error) {
  return bevfusion::evaluate_detection({sample}).summary.label_errors[0][index_of(error)];
}

}  // namespace

TEST_CASE("perfect predictions score 1", "[bevfusion][detection]") {
  const auto summary = bevfusion::evaluate_detection({one_of_each_class()}).summary;
  CHECK(summary.mean_ap == Approx(1).epsilon(1e-12));
  CHECK(summary.nd_score == Approx(1).epsilon(1e-12));
  CHECK(summary.mean_ap_of_present_classes() == Approx(1).epsilon(1e-12));
  for (const double error : summary.errors) {
    CHECK(std::abs(error) < 1e-12);
  }
  for (const auto& [detection_class, error] :
       {std::pair{DetectionClass::traffic_cone, BoxError::orientation},
        std::pair{DetectionClass::traffic_cone, BoxError::velocity}, std::pair{DetectionClass::traffic_cone, BoxError::attribute},
        std::pair{DetectionClass::barrier, BoxError::velocity}, std::pair{DetectionClass::barrier, BoxError::attribute}}) {
    CHECK(std::isnan(summary.label_errors[index_of(detection_class)][index_of(error)]));
  }
  CHECK(summary.label_errors[index_of(DetectionClass::barrier)][index_of(BoxError::orientation)] == Approx(0).margin(1e-12));
}

TEST_CASE("a class without annotations counts as never found", "[bevfusion][detection]") {
  EvaluationSample sample = one_of_each_class();
  sample.truth.erase(sample.truth.begin() + 1);  // truck; its prediction stays
  const auto summary = bevfusion::evaluate_detection({sample}).summary;
  CHECK(summary.mean_ap == Approx(0.9));
  CHECK(summary.mean_ap_of_present_classes() == Approx(1));
  // The one class has error 1 among the classes that have the error: ten, ten, nine (no cones), eight (no barriers either),
  // eight.
  const std::array<double, 5> expected = {1 / 10.0, 1 / 10.0, 1 / 9.0, 1 / 8.0, 1 / 8.0};
  for (std::size_t k = 0; k < 5; ++k) {
    CHECK(summary.errors[k] == Approx(expected[k]));
    CHECK(summary.error_scores[k] == Approx(1 - expected[k]));
  }
  CHECK(summary.nd_score == Approx((5 * 0.9 + 0.9 + 0.9 + 8 / 9.0 + 7 / 8.0 + 7 / 8.0) / 10));
}

TEST_CASE("nothing found scores 0, with every error 1", "[bevfusion][detection]") {
  EvaluationSample sample = one_of_each_class();
  SECTION("predictions in the wrong place") {
    for (DetectionBox& box : sample.predictions) {
      box.translation[1] += 10;
    }
  }
  SECTION("no predictions") { sample.predictions.clear(); }
  SECTION("no annotations") { sample.truth.clear(); }
  SECTION("nothing at all") { sample = EvaluationSample(); }
  const auto summary = bevfusion::evaluate_detection({sample}).summary;
  CHECK(summary.mean_ap == 0);
  CHECK(summary.nd_score == 0);
  for (const double error : summary.errors) {
    CHECK(error == 1);
  }
}

TEST_CASE("average precision counts the 90 recalls above 0.1", "[bevfusion][detection]") {
  EvaluationSample sample;
  SECTION("half of the boxes found, nothing false: precision 1 for the 40 recalls 0.11 ... 0.50, 0 beyond") {
    sample.truth = {box_at(0, 0), box_at(0, 10), box_at(0, 20), box_at(0, 30)};
    sample.predictions = {box_at(0, 0, DetectionClass::car, 0.9), box_at(0, 10, DetectionClass::car, 0.8)};
    CHECK(car_ap(sample) == Approx(40.0 / 90));
  }
  SECTION("a false box above the true one: precision r / 2, so the sum over k = 21 ... 100 of 0.005 k - 0.1, which is 16.2") {
    sample.truth = {box_at(0, 0)};
    sample.predictions = {box_at(0, 20, DetectionClass::car, 0.9), box_at(0, 0, DetectionClass::car, 0.8)};
    CHECK(car_ap(sample) == Approx(16.2 / 90 / 0.9));
  }
  SECTION("a false box below the true one: precision 1 but at recall 1 itself, where the later half holds") {
    sample.truth = {box_at(0, 0)};
    sample.predictions = {box_at(0, 20, DetectionClass::car, 0.7), box_at(0, 0, DetectionClass::car, 0.8)};
    CHECK(car_ap(sample) == Approx((89 * 0.9 + 0.4) / 90 / 0.9));
  }
  SECTION("35 of 100 boxes found: 0.35 is below the recall of bin 35, which is 35 times 0.01, so the last bin is 34") {
    std::vector<EvaluationSample> samples(100);
    for (std::size_t i = 0; i < samples.size(); ++i) {
      samples[i].truth = {box_at(0, 0)};
      if (i < 35) {
        samples[i].predictions = {box_at(0, 0)};
      }
    }
    CHECK(35 * 0.01 > 0.35);
    CHECK(bevfusion::evaluate_detection(samples).summary.mean_distance_aps[0] == Approx(24.0 / 90));
  }
  SECTION("recall 0.1 is not above 0.1") {
    for (int i = 0; i < 10; ++i) {
      sample.truth.push_back(box_at(0, 4.9 * i));
    }
    sample.predictions = {box_at(0, 0)};
    CHECK(car_ap(sample) == 0);
    CHECK(car_error(sample, BoxError::translation) == 1);
  }
}

TEST_CASE("of equal scores the later prediction comes first", "[bevfusion][detection]") {
  const DetectionBox good = box_at(0, 0);
  const DetectionBox bad = box_at(0, 20);
  EvaluationSample sample;
  sample.truth = {good};
  sample.predictions = {good, bad};
  CHECK(car_ap(sample) == Approx(16.2 / 90 / 0.9));
  sample.predictions = {bad, good};
  CHECK(car_ap(sample) == Approx((89 * 0.9 + 0.4) / 90 / 0.9));

  EvaluationSample other;
  sample.predictions = {good};
  other.predictions = {bad};
  CHECK(bevfusion::evaluate_detection({sample, other}).summary.mean_distance_aps[0] == Approx(16.2 / 90 / 0.9));
  CHECK(bevfusion::evaluate_detection({other, sample}).summary.mean_distance_aps[0] == Approx((89 * 0.9 + 0.4) / 90 / 0.9));
}

TEST_CASE("a match is strictly nearer than the threshold, in the ground plane", "[bevfusion][detection]") {
  EvaluationSample sample;
  sample.truth = {box_at(0, 0)};
  sample.predictions = {box_at(0.3, 0.4)};  // 0.5 m away
  sample.predictions[0].translation[2] += 100;
  auto aps = bevfusion::evaluate_detection({sample}).summary.label_aps[0];
  REQUIRE(aps.size() == 4);
  CHECK(aps[0] == 0);
  CHECK(aps[1] == Approx(1));
  sample.predictions = {box_at(0, 4)};
  CHECK(bevfusion::evaluate_detection({sample}).summary.label_aps[0] == std::vector<double>{0, 0, 0, 0});
}

TEST_CASE("a prediction takes the nearest free annotation of its class and sample", "[bevfusion][detection]") {
  EvaluationSample sample;
  SECTION("the surer one takes the nearest, the other what is left") {
    sample.truth = {box_at(0, 0), box_at(1.5, 0)};
    sample.predictions = {box_at(0.7, 0, DetectionClass::car, 0.9), box_at(0.6, 0, DetectionClass::car, 0.8)};
    // Errors 0.7 and then |1.5 - 0.6| = 0.9; running means 0.7 and 0.8. Confidence falls from 0.9 at recall 0.5 to 0.8 at 1, and
    // the mean rises with it: 0.7 for the 40 bins 11 ... 50, then + 0.002 a bin, 50 * 51 / 2 times.
    CHECK(car_error(sample, BoxError::translation) == Approx((90 * 0.7 + 0.002 * 1275) / 90));
  }
  SECTION("of two that are equally near the first is taken") {
    sample.truth = {box_at(1, 0), box_at(-1, 0)};
    sample.truth[1].attribute = Attribute::vehicle_parked;
    sample.predictions = {box_at(0, 0)};
    CHECK(car_error(sample, BoxError::attribute) == 0);
    std::swap(sample.truth[0], sample.truth[1]);
    CHECK(car_error(sample, BoxError::attribute) == 1);
  }
  SECTION("a taken one is not shared") {
    sample.truth = {box_at(0, 0)};
    sample.predictions = {box_at(0.2, 0, DetectionClass::car, 0.9), box_at(0, 0, DetectionClass::car, 0.8)};
    CHECK(car_error(sample, BoxError::translation) == Approx(0.2));
  }
  SECTION("another class's is not taken") {
    sample.truth = {box_at(0, 0, DetectionClass::truck)};
    sample.predictions = {box_at(0, 0)};
    CHECK(bevfusion::evaluate_detection({sample}).summary.mean_ap == 0);
  }
  SECTION("another sample's is not taken") {
    sample.truth = {box_at(0, 0)};
    EvaluationSample other;
    other.predictions = {box_at(0, 0)};
    CHECK(bevfusion::evaluate_detection({sample, other}).summary.mean_ap == 0);
  }
}

TEST_CASE("the five errors of one match", "[bevfusion][detection]") {
  DetectionBox truth = box_at(0, 0);
  DetectionBox prediction = box_at(3, 4);
  prediction.size = {1, 4, 1.5};  // half the volume, inside: IoU 1/2
  prediction.rotation = turned(0.3 + pi - 0.1);
  prediction.velocity = {1 + 0.5, -2 - 1.2};
  prediction.attribute = Attribute::vehicle_parked;
  auto errors = bevfusion::box_errors(truth, prediction);
  CHECK(errors[0] == Approx(5));
  CHECK(errors[1] == Approx(0.5));
  CHECK(errors[2] == Approx(pi - 0.1));
  CHECK(errors[3] == Approx(1.3));
  CHECK(errors[4] == 1);

  truth.detection_class = DetectionClass::barrier;
  CHECK(bevfusion::box_errors(truth, prediction, /*symmetric=*/true)[2] == Approx(0.1));
  truth.attribute = Attribute::none;
  truth.velocity = {unknown, 0};
  errors = bevfusion::box_errors(truth, prediction);
  CHECK(std::isnan(errors[3]));
  CHECK(std::isnan(errors[4]));

  CHECK(bevfusion::heading_difference(3.1, -3.1, 2 * pi) == Approx(2 * pi - 6.2));
  CHECK(bevfusion::heading_difference(-3.1, 3.1, 2 * pi) == Approx(2 * pi - 6.2));
  CHECK(bevfusion::heading_of({2, 0, 0, 2}) == Approx(pi / 2));  // of any length
  CHECK(bevfusion::heading_of({0, 0, 0, 0}) == 0);
  CHECK(bevfusion::scale_iou({1, 2, 3}, {2, 2, 1.5}) == Approx(3.0 / 9));  // 1 * 2 * 1.5 in 6 + 6 - 3
}

TEST_CASE("errors of matches are averaged from the surest on, and NaN counts for nothing", "[bevfusion][detection]") {
  EvaluationSample sample;
  sample.truth = {box_at(0, 0), box_at(0, 10)};
  sample.predictions = {box_at(0, 0, DetectionClass::car, 0.9), box_at(0, 10, DetectionClass::car, 0.8)};
  sample.predictions[1].velocity[0] += 2;
  SECTION("errors 0, 2: means 0, 1; 0 up to recall 0.5, then + 1/50 a bin") {
    CHECK(car_error(sample, BoxError::velocity) == Approx(1275 / 50.0 / 90));
  }
  SECTION("NaN, 2: the mean before the first number is 0, then 2") {
    sample.truth[0].velocity = {unknown, unknown};
    CHECK(car_error(sample, BoxError::velocity) == Approx(2 * 1275 / 50.0 / 90));
  }
  SECTION("0, NaN: the mean stays 0") {
    sample.truth[1].velocity = {unknown, unknown};
    CHECK(car_error(sample, BoxError::velocity) == 0);
  }
  SECTION("nothing but NaN is 1") {
    sample.truth[0].velocity[1] = unknown;
    sample.truth[1].velocity[0] = unknown;
    CHECK(car_error(sample, BoxError::velocity) == 1);
  }
  SECTION("a prediction's NaN likewise") {
    sample.predictions[1].velocity = {unknown, unknown};
    CHECK(car_error(sample, BoxError::velocity) == 0);
  }
  SECTION("annotations without attribute") {
    sample.truth[0].attribute = Attribute::none;
    CHECK(car_error(sample, BoxError::attribute) == 0);
    sample.truth[1].attribute = Attribute::none;
    CHECK(car_error(sample, BoxError::attribute) == 1);
  }
}

TEST_CASE("errors stop at the recall that was reached", "[bevfusion][detection]") {
  EvaluationSample sample;
  sample.truth = {box_at(0, 0), box_at(0, 10)};
  sample.predictions = {box_at(0.5, 0)};
  CHECK(car_error(sample, BoxError::translation) == Approx(0.5));
}

TEST_CASE("errors above 1 score 0 and no less", "[bevfusion][detection]") {
  EvaluationSample sample = one_of_each_class();
  for (DetectionBox& box : sample.predictions) {
    box.velocity[0] += 50;
  }
  const auto summary = bevfusion::evaluate_detection({sample}).summary;
  CHECK(summary.errors[index_of(BoxError::velocity)] == Approx(50));
  CHECK(summary.error_scores[index_of(BoxError::velocity)] == 0);
  CHECK(summary.nd_score == Approx(0.9));
}

TEST_CASE("boxes out of their class's range are left out", "[bevfusion][detection]") {
  const std::array<double, 10> range = {50, 50, 50, 50, 50, 40, 40, 40, 30, 30};
  EvaluationSample sample;
  sample.ego = {1000, 2000};
  for (const DetectionClass detection_class : detection_classes) {
    const double r = range[index_of(detection_class)];
    CHECK(bevfusion::is_evaluated(box_at(1000 + 0.6 * (r - 0.001), 2000 - 0.8 * (r - 0.001), detection_class), sample, {}));
    CHECK_FALSE(bevfusion::is_evaluated(box_at(1000 + 0.6 * (r + 0.001), 2000 - 0.8 * (r + 0.001), detection_class), sample, {}));
    CHECK_FALSE(bevfusion::is_evaluated(box_at(1000, 2000 - r, detection_class), sample, {}));
  }
  DetectionBox high = box_at(1000, 2000);
  high.translation[2] = 500;  // height does not count
  CHECK(bevfusion::is_evaluated(high, sample, {}));
}

TEST_CASE("annotations without points are left out, uncounted points are not", "[bevfusion][detection]") {
  EvaluationSample sample;
  sample.truth = {box_at(0, 0), box_at(0, 10), box_at(0, 20)};
  sample.truth[0].point_count = 0;
  sample.truth[1].point_count = 1;
  sample.predictions = {sample.truth[1], sample.truth[2]};
  const auto summary = bevfusion::evaluate_detection({sample}).summary;
  CHECK(summary.truth_counts[0] == 2);
  CHECK(summary.mean_distance_aps[0] == Approx(1));
}

TEST_CASE("two-wheelers in a bicycle rack are left out", "[bevfusion][detection]") {
  EvaluationSample sample;
  sample.bicycle_racks = {{{10, 0, 1}, {2, 6, 2}, turned(pi / 2)}};  // 6 m along y, 2 m along x, z from 0 to 2
  const auto kept = [&](double x, double y, double z, DetectionClass detection_class) {
    DetectionBox box = box_at(x, y, detection_class);
    box.translation[2] = z;
    return bevfusion::is_evaluated(box, sample, {});
  };
  for (const DetectionClass detection_class : {DetectionClass::bicycle, DetectionClass::motorcycle}) {
    CHECK_FALSE(kept(10, 0, 1, detection_class));
    CHECK_FALSE(kept(10.9, -2.9, 0.1, detection_class));
    CHECK_FALSE(kept(9.1, 2.9, 1.9, detection_class));
    CHECK(kept(11.1, 0, 1, detection_class));
    CHECK(kept(10, 3.1, 1, detection_class));
    CHECK(kept(10, 0, 2.1, detection_class));
  }
  CHECK(kept(10, 0, 1, DetectionClass::car));
  CHECK(kept(10, 0, 1, DetectionClass::pedestrian));
  sample.bicycle_racks.push_back({{20, 0, 1}, {2, 2, 2}, {1, 0, 0, 0}});
  CHECK_FALSE(kept(20, 0, 1, DetectionClass::bicycle));
  sample.predictions = {box_at(20, 0, DetectionClass::bicycle)};
  sample.truth = {box_at(10, 0, DetectionClass::bicycle), box_at(0, 0, DetectionClass::bicycle)};
  CHECK(bevfusion::evaluated_only({sample}, {})[0].predictions.empty());
  CHECK(bevfusion::evaluated_only({sample}, {})[0].truth.size() == 1);
}

TEST_CASE("what cannot be evaluated is refused, with the sample's name", "[bevfusion][detection]") {
  EvaluationSample sample = one_of_each_class();
  sample.token = "the-sample";
  const auto refused = [&](const std::string& part) {
    try {
      bevfusion::evaluate_detection({sample});
    } catch (const std::invalid_argument& error) {
      return std::string(error.what()).find(part) != std::string::npos;
    }
    return false;
  };
  SECTION("more than 500 predictions, even out of range") {
    sample.predictions.assign(500, box_at(1000, 1000));
    CHECK_NOTHROW(bevfusion::evaluate_detection({sample}));
    sample.predictions.push_back(box_at(1000, 1000));
    CHECK(refused("the-sample: 501 predicted boxes"));
  }
  SECTION("numbers that are not finite") {
    sample.predictions[3].score = unknown;
    CHECK(refused("the-sample, predicted box 3"));
    sample.predictions[3].score = std::numeric_limits<double>::infinity();
    CHECK(refused("the-sample, predicted box 3"));
    sample = one_of_each_class();
    sample.token = "the-sample";
    sample.truth[2].rotation[1] = unknown;
    CHECK(refused("the-sample, annotated box 2"));
  }
  SECTION("sizes of matched boxes that are not above 0") {
    sample.predictions[0].size[1] = 0;
    CHECK(refused("sizes"));
  }
  SECTION("scores below 0 that end below full recall") {
    sample.truth.push_back(box_at(0, 30));
    sample.predictions[0].score = -0.5;
    CHECK(refused("below 0"));
  }
  SECTION("a config that cannot be") {
    bevfusion::DetectionConfig config;
    config.error_threshold = 3;
    CHECK_THROWS_AS(bevfusion::evaluate_detection({sample}, config), std::invalid_argument);
    config = {};
    config.min_precision = 1;
    CHECK_THROWS_AS(bevfusion::evaluate_detection({sample}, config), std::invalid_argument);
    config = {};
    config.min_recall = -0.1;
    CHECK_THROWS_AS(bevfusion::evaluate_detection({sample}, config), std::invalid_argument);
  }
}

TEST_CASE("infinite velocities cost the velocity score and nothing else", "[bevfusion][detection]") {
  EvaluationSample sample = one_of_each_class();
  sample.predictions[0].velocity[0] = std::numeric_limits<double>::infinity();
  const auto summary = bevfusion::evaluate_detection({sample}).summary;
  CHECK(std::isinf(summary.label_errors[0][index_of(BoxError::velocity)]));
  CHECK(summary.error_scores[index_of(BoxError::velocity)] == 0);
  CHECK(summary.nd_score == Approx(0.9));
}

TEST_CASE("figures do not depend on where the world's origin lies", "[bevfusion][detection]") {
  EvaluationSample sample = one_of_each_class();
  sample.truth.push_back(box_at(-7, 9));
  sample.predictions.push_back(box_at(-7.25, 9.5));
  sample.predictions.push_back(box_at(12, -3, DetectionClass::car, 0.75));
  const auto here = bevfusion::evaluate_detection({sample}).summary;
  sample.ego = {1024, -512};
  for (auto* boxes : {&sample.truth, &sample.predictions}) {
    for (DetectionBox& box : *boxes) {
      box.translation[0] += 1024;
      box.translation[1] -= 512;
    }
  }
  const auto there = bevfusion::evaluate_detection({sample}).summary;
  CHECK(there.label_aps == here.label_aps);
  CHECK(there.nd_score == here.nd_score);
  CHECK(here.mean_ap < 1);
}

TEST_CASE("interpolation takes the last of equal places and holds its ends", "[bevfusion][detection]") {
  const std::vector<double> xs = {0, 1, 1, 3};
  const std::vector<double> ys = {5, 1, 2, 4};
  CHECK(bevfusion::interpolate(-1, xs, ys, -7, 9) == -7);
  CHECK(bevfusion::interpolate(4, xs, ys, -7, 9) == 9);
  CHECK(bevfusion::interpolate(0.5, xs, ys, 0, 0) == 3);
  CHECK(bevfusion::interpolate(1, xs, ys, 0, 0) == 2);
  CHECK(bevfusion::interpolate(2, xs, ys, 0, 0) == 3);
  CHECK(bevfusion::interpolate(3, xs, ys, 0, 0) == 4);
  CHECK(bevfusion::interpolate(2, {2}, {8}, 0, 1) == 8);
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(bevfusion::interpolate(0.5, {0, 1}, {infinity, 2}, 0, 0) == infinity);
  CHECK(bevfusion::interpolate(0.5, {0, 1}, {2, infinity}, 0, 0) == infinity);
  CHECK(bevfusion::interpolate(0.5, {0, 1}, {infinity, infinity}, 0, 0) == infinity);
}

TEST_CASE("the table reads as the devkit's", "[bevfusion][detection]") {
  auto summary = bevfusion::evaluate_detection({one_of_each_class()}).summary;
  summary.seconds = 12.34;
  summary.mean_distance_aps[0] = 0.12345;
  std::ostringstream out;
  bevfusion::print_detection(out, summary);
  const std::string text = out.str();
  CHECK(text.substr(0, text.find("Per-class")) ==
        "mAP: 1.0000\nmATE: 0.0000\nmASE: 0.0000\nmAOE: 0.0000\nmAVE: 0.0000\nmAAE: 0.0000\nNDS: 1.0000\nEval time: 12.3s\n\n");
  const std::string head = "Object Class        \tAP    \tATE   \tASE   \tAOE   \tAVE   \tAAE   \n";
  CHECK(text.find("Per-class results:\n" + head + "car                 \t0.123 \t0.000 \t0.000 \t0.000 \t0.000 \t0.000 \n") !=
        std::string::npos);
  CHECK(text.find("\ntraffic_cone        \t1.000 \t0.000 \t0.000 \tnan   \tnan   \tnan   \n") != std::string::npos);
  CHECK(text.find("\nconstruction_vehicle\t1.000 \t") != std::string::npos);
}
