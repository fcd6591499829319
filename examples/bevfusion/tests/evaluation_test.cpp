// SPDX-License-Identifier: Apache-2.0
// From what a network says to nuScenes' figures: decoding, the global frame, the protocol, and what a network that knows nothing
// or has gone astray yields.
#include <cmath>
#include <filesystem>
#include <limits>

#include <torch/torch.h>

#include "bevfusion/evaluation/decode.hpp"
#include "bevfusion/evaluation/figures_json.hpp"
#include "bevfusion/evaluation/predict.hpp"
#include "bevfusion/losses/foreground_target.hpp"
#include "bevfusion/metrics/detection_evaluation.hpp"
#include "bevfusion/metrics/evaluation_sample.hpp"
#include "bevfusion/model/batch.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/synth/generate.hpp"
#include "bevfusion/tasks/detection_figures.hpp"
#include "bevfusion/tasks/mask_figures.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;

constexpr double infinite = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// What a head would say that saw these boxes: their codes, logit `logit` of their class and `heat` in its heat map.
Detections detections_of(const std::vector<Box3D>& boxes, const BoxCoder& coder, double logit = 12, double heat = 1) {
  const auto queries = static_cast<std::int64_t>(boxes.size());
  constexpr auto classes = static_cast<std::int64_t>(detection_class_count);
  const torch::Tensor codes = torch::zeros({1, 10, queries});
  Detections out;
  out.class_logits = torch::full({1, classes, queries}, -12.0);
  out.query_score = torch::zeros({1, classes, queries});
  out.query_class = torch::zeros({1, queries}, torch::kLong);
  for (std::int64_t q = 0; q < queries; ++q) {
    const Box3D& box = boxes[static_cast<std::size_t>(q)];
    const RegressionTarget target = coder.encode(box);
    for (std::int64_t entry = 0; entry < 10; ++entry) {
      codes[0][entry][q] = target.code[static_cast<std::size_t>(entry)];
    }
    const auto label = static_cast<std::int64_t>(box.label);
    out.class_logits[0][label][q] = logit;
    out.query_score[0][label][q] = heat;
    out.query_class[0][q] = label;
  }
  const auto parts = codes.split_with_sizes({2, 1, 3, 2, 2}, 1);
  out.centre = parts[0];
  out.height = parts[1];
  out.size = parts[2];
  out.heading = parts[3];
  out.velocity = parts[4];
  return out;
}

Box3D box_at(double x, double y, double z = 0, DetectionClass label = DetectionClass::car) {
  Box3D box;
  box.center = {x, y, z};
  box.size = {2, 4, 1.5};
  box.velocity = {0, 0};
  box.label = label;
  return box;
}

/// A small synthetic data set, for as long as the object lives.
class SmallSet {
 public:
  SmallSet(int scenes, int samples) {
    SynthOptions options = SynthOptions::tiny();
    options.out = folder_.path() / "set";
    options.scenes = scenes;
    options.samples = samples;
    options.sweeps = 2;
    options.seed = 11;
    options.threads = 2;
    generate(options);
    tables = read_tables(options.out, options.version);
    for (std::size_t i = 0; i < tables.samples.size(); ++i) {
      rows.push_back(static_cast<RowIndex>(i));
    }
  }

  Tables tables;
  std::vector<RowIndex> rows;

 private:
  testing::TemporaryFolder folder_;
};

RunConfig tiny_run() {
  RunConfig config;
  config.size = "tiny";
  config.model = tiny_model();
  config.model.parts.tasks["foreground"] = true;
  config.loading = loading_options(config.model);
  config.loading.sweeps = 2;
  config.training.batch = 2;
  return config;
}

const DetectionSummary& boxes_in(const EvaluationFigures& figures) {
  return figures.of<DetectionFigures>("detection")->summary();
}
const MaskFigures& masks_in(const EvaluationFigures& figures, const std::string& task) { return *figures.of<MaskFigures>(task); }

/// @param nds_apart  what the scores may differ by
bool same(const EvaluationFigures& a, const EvaluationFigures& b, double nds_apart = 0) {
  const MaskFigures& map_a = masks_in(a, "segmentation");
  const MaskFigures& map_b = masks_in(b, "segmentation");
  bool equal = map_a.names() == map_b.names() && boxes_in(a).mean_ap == boxes_in(b).mean_ap &&
               std::abs(boxes_in(a).nd_score - boxes_in(b).nd_score) <= nds_apart;
  for (std::size_t c = 0; c < map_a.protocol().classes(); ++c) {
    for (std::size_t t = 0; t < map_a.protocol().thresholds().size(); ++t) {
      const CellCounts of_a = map_a.protocol().counts(c, t);
      const CellCounts of_b = map_b.protocol().counts(c, t);
      equal = equal && of_a.true_positives == of_b.true_positives && of_a.false_positives == of_b.false_positives;
    }
  }
  return equal;
}

}  // namespace

TEST_CASE("annotations said as a head says them, decoded and submitted, are perfect predictions", "[bevfusion][evaluation]") {
  const SmallSet set(6, 2);
  const BoxCoder coder{tiny_model().bev_grid()};
  std::vector<EvaluationSample> samples;
  double headings = 0;
  double tilt = 0;  // of the LiDAR against the ground, rad: what the LiDAR's plane cannot hold of headings and velocities
  for (const RowIndex row : set.rows) {
    const KeyFrame frame = key_frame_of(set.tables, row);
    std::vector<Box3D> seen;
    for (const Box3D& box : frame.boxes) {
      if (box.lidar_points + box.radar_points > 0) {
        seen.push_back(box);
      }
    }
    headings = std::max(headings, std::abs(std::remainder(yaw_of(frame.global_from_lidar().rotation), pi / 2)));
    tilt = std::max(tilt, std::acos(frame.global_from_lidar().rotation(2, 2)));
    samples.push_back(evaluation_sample(set.tables, row));
    samples.back().predictions =
        submission_boxes(scored_boxes(detections_of(seen, coder), 0, coder), frame.ego_from_lidar, frame.global_from_ego);
  }
  REQUIRE(headings > 0.1);  // the global frame is turned against the LiDAR's, or a wrong turn would not show
  REQUIRE(tilt < 0.03);
  const DetectionSummary summary = evaluate_detection(samples).summary;
  double present = 0;
  for (std::size_t c = 0; c < detection_class_count; ++c) {
    present += summary.truth_counts[c] > 0 ? 1 : 0;
    if (summary.truth_counts[c] == 0) {
      continue;
    }
    INFO(name_of(detection_classes[c]));
    CHECK(summary.mean_distance_aps[c] == Approx(1).epsilon(1e-12));
    // Centres in cells of float32 are exact to 64 * 2^-24 cells of 0.8 m; sizes and angles to some 1e-7.
    CHECK(summary.label_errors[c][index_of(BoxError::translation)] < 1e-5);
    CHECK(summary.label_errors[c][index_of(BoxError::scale)] < 1e-5);
    const double turn = summary.label_errors[c][index_of(BoxError::orientation)];
    CHECK((std::isnan(turn) || turn < tilt * tilt + 1e-5));
    const double speed = summary.label_errors[c][index_of(BoxError::velocity)];
    CHECK((std::isnan(speed) || speed < 20 * tilt * tilt + 1e-5));  // nobody drives at 20 m/s
  }
  REQUIRE(present >= 6);
  CHECK(summary.mean_ap == Approx(present / 10).epsilon(1e-12));
}

TEST_CASE("a score is the class's probability times the heat map's, and the class that of the query", "[bevfusion][evaluation]") {
  const BoxCoder coder;
  Detections said = detections_of({box_at(3, 4), box_at(-8, 20, -1, DetectionClass::bus)}, coder, /*logit=*/0, /*heat=*/0.6);
  said.query_score[0][static_cast<std::int64_t>(DetectionClass::bus)][1] = 0.9;
  said.class_logits[0][static_cast<std::int64_t>(DetectionClass::truck)][0] = 9;  // surer of another class, but no query of it
  const std::vector<ScoredBox> boxes = scored_boxes(said, 0, coder);
  REQUIRE(boxes.size() == 2);
  CHECK(boxes[0].box.label == DetectionClass::bus);     // surest first
  CHECK(boxes[0].score == Approx(0.45).epsilon(1e-6));  // sigmoid(0) 0.9
  CHECK(boxes[1].box.label == DetectionClass::car);
  CHECK(boxes[1].score == Approx(0.3).epsilon(1e-6));
  CHECK((boxes[1].box.center - Eigen::Vector3d(3, 4, 0)).norm() < 1e-5);
}

TEST_CASE("boxes beyond the limits, or that are none, are not predicted", "[bevfusion][evaluation]") {
  const BoxCoder coder;
  // BEVFusion's limits: 61.2 m along x and y, 10 m along z.
  const std::vector<Box3D> boxes = {box_at(61.1, 0), box_at(61.3, 0), box_at(0, -61.3), box_at(0, 0, 10.5), box_at(0, 0, -9.5)};
  CHECK(scored_boxes(detections_of(boxes, coder), 0, coder).size() == 2);

  const auto spoilt = [&](auto&& spoil) {
    Detections said = detections_of({box_at(1, 1), box_at(2, 2)}, coder);
    spoil(said);
    return scored_boxes(said, 0, coder).size();
  };
  CHECK(spoilt([](Detections&) {}) == 2);
  CHECK(spoilt([](Detections& d) { d.centre[0][0][0] = not_a_number; }) == 1);
  CHECK(spoilt([](Detections& d) { d.size[0][1][0] = 1e4; }) == 1);   // e^10000 m
  CHECK(spoilt([](Detections& d) { d.size[0][1][0] = -1e4; }) == 1);  // 0 m
  CHECK(spoilt([](Detections& d) { d.velocity[0][0][0] = infinite; }) == 1);
  CHECK(spoilt([](Detections& d) { d.class_logits.fill_(not_a_number); }) == 0);
}

TEST_CASE("boxes are submitted up to their class's range around the ego vehicle, the surest of them", "[bevfusion][evaluation]") {
  // The LiDAR sits 2 m before the ego frame's origin, its y axis along the ego's x.
  const RigidTransform ego_from_lidar{rotation_about_z(-pi / 2), {2, 0, 1.8}};
  const RigidTransform global_from_ego{rotation_about_z(0.7), {1000, 500, 0}};
  const auto submitted = [&](const Box3D& box) {
    return submission_boxes({{box, 0.5}}, ego_from_lidar, global_from_ego).size() == 1;
  };
  CHECK(submitted(box_at(0, 47.9)));  // 49.9 m ahead of the ego's origin
  CHECK_FALSE(submitted(box_at(0, 48.1)));
  CHECK(submitted(box_at(0, -51.9)));
  CHECK_FALSE(submitted(box_at(0, -52.1)));
  CHECK(submitted(box_at(0, 37.9, 0, DetectionClass::pedestrian)));
  CHECK_FALSE(submitted(box_at(0, 38.1, 0, DetectionClass::pedestrian)));
  CHECK(submitted(box_at(0, 27.9, 0, DetectionClass::barrier)));
  CHECK_FALSE(submitted(box_at(0, 28.1, 0, DetectionClass::barrier)));

  const auto boxes = submission_boxes({{box_at(0, 60), 0.9}, {box_at(0, 1), 0.8}, {box_at(0, 2), 0.7}, {box_at(0, 3), 0.6}},
                                      ego_from_lidar, global_from_ego, standard_boxes(), 2);
  REQUIRE(boxes.size() == 2);
  CHECK(boxes[0].score == 0.8);
  CHECK(boxes[1].score == 0.7);
  // 1 m along the LiDAR's y: 3 m ahead of the ego, which looks along 0.7 rad.
  CHECK(boxes[0].translation[0] == Approx(1000 + 3 * std::cos(0.7)));
  CHECK(boxes[0].translation[1] == Approx(500 + 3 * std::sin(0.7)));
  CHECK(boxes[0].translation[2] == Approx(1.8));
  CHECK(heading_of(boxes[0].rotation) == Approx(0.7 - pi / 2));
}

TEST_CASE("an untrained network is evaluated, and left as it was", "[bevfusion][evaluation]") {
  const SmallSet set(1, 3);
  RunConfig config = tiny_run();
  torch::manual_seed(3);
  Network network(config.model);
  network->train();
  const auto frozen = network->modules(false).back();
  frozen->eval();
  std::size_t told = 0;
  EvaluationOptions options;
  options.progress = [&](std::size_t samples) { told += samples; };
  const EvaluationFigures figures = evaluate(network, set.tables, set.rows, config, options);
  CHECK(told == 3);
  CHECK(figures.samples == 3);
  CHECK(figures.not_finite == 0);
  CHECK(network->is_training());
  CHECK(network->towers()[0]->is_training());
  CHECK_FALSE(frozen->is_training());
  REQUIRE((figures.of<DetectionFigures>("detection") && figures.of<MaskFigures>("segmentation") &&
           figures.of<MaskFigures>("foreground")));
  CHECK(masks_in(figures, "foreground").protocol().classes() == 3);
  CHECK((boxes_in(figures).nd_score >= 0 && boxes_in(figures).nd_score <= 1));
  CHECK((masks_in(figures, "segmentation").protocol().mean_iou() >= 0 &&
         masks_in(figures, "segmentation").protocol().mean_iou() <= 1));
  // Every cell of every labelled class is counted once: 3 samples of 50 x 50.
  const CellCounts counts = masks_in(figures, "segmentation").below().counts(0, 0);
  CHECK(counts.true_positives + counts.false_positives + counts.false_negatives <= 3 * 2500);
  CHECK(counts.true_positives + counts.false_negatives > 0);

  SECTION("the figures do not depend on how samples are batched") {
    config.training.batch = 1;
    config.data.threads = 1;
    // Counts exactly; the errors in NDS are continuous, and products of single precision add in another order in other batches.
    CHECK(same(figures, evaluate(network, set.tables, set.rows, config), 1e-6));
  }
  SECTION("a modality can be left out") {
    options.failure.modalities = {"camera"};
    const EvaluationFigures blind = evaluate(network, set.tables, set.rows, config, options);
    CHECK(blind.samples == 3);
    CHECK_FALSE(same(figures, blind));
    options.failure.modalities = {"radar"};
    CHECK_THROWS_AS(evaluate(network, set.tables, set.rows, config, options), std::invalid_argument);
  }
  SECTION("a sensor can be missing by what it saw, with its branch still there") {
    const auto figures_without = [&](const char* sensor, Missing missing) {
      options.failure.modalities = {sensor};
      options.failure.missing = missing;
      return evaluate(network, set.tables, set.rows, config, options);
    };
    const EvaluationFigures black = figures_without("camera", Missing::inputs);
    CHECK(black.not_finite == 0);
    CHECK_FALSE(same(black, figures_without("camera", Missing::maps)));  // black is not 0 once pictures are normalised
    // An empty cloud occupies no voxel, and where there is none the sparse encoder's map is 0.
    CHECK(same(figures_without("lidar", Missing::inputs), figures_without("lidar", Missing::maps)));
    CHECK_FALSE(same(figures, figures_without("lidar", Missing::inputs)));
    options.failure.modalities = {"radar"};
    CHECK_THROWS_AS(evaluate(network, set.tables, set.rows, config, options), std::invalid_argument);
  }
  SECTION("a camera can be missing, as one that the data set does not have") {
    options.failure.cameras = {2};
    const EvaluationFigures lost = evaluate(network, set.tables, set.rows, config, options);
    CHECK_FALSE(same(figures, lost));
    Tables fewer = set.tables;
    for (SampleRow& sample : fewer.samples) {
      sample.data[2] = -1;
    }
    CHECK(same(lost, evaluate(network, fewer, set.rows, config)));
    options.failure.cameras = {6};
    CHECK_THROWS_AS(evaluate(network, set.tables, set.rows, config, options), std::invalid_argument);
  }
  SECTION("a LiDAR can have lost beams, as one that has fewer") {
    options.failure.beams = 4;
    const EvaluationFigures lost = evaluate(network, set.tables, set.rows, config, options);
    CHECK_FALSE(same(figures, lost));
    config.loading.points.beams = 4;
    CHECK(same(lost, evaluate(network, set.tables, set.rows, config)));
  }
  SECTION("boxes beyond the run's limits are not predicted") {
    const auto boxes = [&] {
      std::size_t count = 0;
      predict(network, set.tables, set.rows, config,
              [&](const SamplePrediction& one) { count += one.of<std::vector<ScoredBox>>("detection")->size(); });
      return count;
    };
    CHECK(boxes() > 0);
    config.model.centre_limits = {0, 0, 0};
    Network narrow(config.model);
    network = narrow;
    CHECK(boxes() == 0);
  }
  SECTION("the true foreground is the footprints of boxes with a point") {
    predict(network, set.tables, set.rows, config, [&](const SamplePrediction& one) {
      std::vector<Box3D> seen;
      for (const Box3D& box : one.truth) {
        if (box.lidar_points + box.radar_points > 0) {
          seen.push_back(box);
        }
      }
      const auto* said = one.of<MaskPrediction>("foreground");
      REQUIRE(said != nullptr);
      REQUIRE(said->truth.sizes() == said->probability.sizes());
      CHECK(torch::equal(said->truth, foreground_target({seen}, 3, config.model.segmentation.mask)[0]));
      CHECK(said->truth.sum().item<double>() > 0);
    });
  }
  SECTION("outputs that are no numbers count as nothing found") {
    for (torch::Tensor& parameter : network->parameters()) {
      const torch::NoGradGuard no_grad;
      parameter.fill_(not_a_number);
    }
    const EvaluationFigures astray = evaluate(network, set.tables, set.rows, config);
    CHECK(astray.not_finite == 3);
    CHECK(boxes_in(astray).mean_ap == 0);
    CHECK(masks_in(astray, "segmentation").protocol().mean_iou() == 0);
  }
}

TEST_CASE("the table of failures has each sensor, each camera, and fewer beams", "[bevfusion][evaluation]") {
  RunConfig config = tiny_run();
  const auto names = [&config](bool single) {
    std::vector<std::string> all;
    for (const SensorFailure& failure : sensor_failures(config, single, Missing::inputs)) {
      all.push_back(called(failure, config));
    }
    return all;
  };
  using Names = std::vector<std::string>;
  CHECK(names(false) == Names{"all", "no camera", "no lidar"});
  CHECK(names(true) == Names{"all", "no camera", "no lidar", "no CAM_FRONT", "no CAM_FRONT_RIGHT", "no CAM_FRONT_LEFT",
                             "no CAM_BACK", "no CAM_BACK_LEFT", "no CAM_BACK_RIGHT", "16 beams", "4 beams"});
  const auto failures = sensor_failures(config, true, Missing::inputs);
  CHECK(json_of(failures[1], config).dump() == R"({"without":["camera"],"called":"no camera","as":"inputs"})");
  CHECK(json_of(failures[5], config).dump() == R"({"without":["CAM_FRONT_LEFT"],"called":"no CAM_FRONT_LEFT"})");
  CHECK(json_of(failures[10], config).dump() == R"({"without":["28 of 32 beams"],"called":"4 beams"})");
  config.model.parts.camera = false;
  CHECK(names(true) == Names{"all", "16 beams", "4 beams"});
  CHECK_THROWS_AS(sensor_failures(config, false, Missing::maps), std::invalid_argument);
}

TEST_CASE("without a map nothing is labelled, and mIoU is no number", "[bevfusion][evaluation]") {
  const SmallSet set(1, 1);
  std::filesystem::remove_all(set.tables.root / "maps");
  RunConfig config = tiny_run();
  config.model.parts.tasks["detection"] = false;
  Network network(config.model);
  const EvaluationFigures figures = evaluate(network, set.tables, set.rows, config);
  CHECK(figures.of<DetectionFigures>("detection") == nullptr);
  CHECK(std::isnan(masks_in(figures, "segmentation").protocol().mean_iou()));
  const auto json = nlohmann::ordered_json::parse(figures_json(figures, {"lidar"}).dump());
  CHECK(json.at("mIoU").is_null());
  CHECK(json.at("without") == nlohmann::ordered_json::array({"lidar"}));
  CHECK_FALSE(json.contains("mAP"));
  CHECK(json.at("segmentation").at("divider").at("labelled") == false);
  CHECK(json.at("segmentation").at("divider").at("at").size() == 10);  // 0.20, 0.25, 0.30 and the protocol's seven
}

TEST_CASE("no samples are no crash", "[bevfusion][evaluation]") {
  const SmallSet set(1, 1);
  const RunConfig config = tiny_run();
  Network network(config.model);
  const EvaluationFigures figures = evaluate(network, set.tables, {}, config);
  CHECK(figures.samples == 0);
  CHECK(boxes_in(figures).mean_ap == 0);
  CHECK(std::isnan(masks_in(figures, "segmentation").protocol().mean_iou()));
}
