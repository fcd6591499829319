// SPDX-License-Identifier: Apache-2.0
// The task of way-points: its chain against a second writing of it, its labels, what is learnt, its figures by hand.
#include <algorithm>
#include <any>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/driving/car_state.hpp"
#include "bevfusion/evaluation/evaluate.hpp"
#include "bevfusion/heads/waypoint_head.hpp"
#include "bevfusion/pictures/picture_colours.hpp"
#include "bevfusion/tasks/waypoint_figures.hpp"
#include "bevfusion/tests/support/tiny_run.hpp"
#include "bevfusion/training/task_losses.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;
using bevfusion::testing::tiny_config;
using bevfusion::testing::TinyData;

RunConfig waypoint_config() {
  RunConfig config = tiny_config();
  config.model.parts.tasks["segmentation"] = false;
  config.model.parts.tasks["detection"] = false;
  config.model.parts.tasks["waypoints"] = true;
  config.calibration.rule = "none";
  config.calibration.gate = "none";
  complete(config);
  check(config);
  return config;
}

/// Samples 0 and 1 of each scene of five have a way of 1.5 s before them.
bool has_way(RowIndex row) { return row % 5 < 2; }

SamplePrediction sample_with(RowIndex row, const WaypointPrediction& said, const RunConfig& config, bool drivable) {
  const auto cells = static_cast<std::int64_t>(config.loading.grid.cells);
  const auto labels = static_cast<std::int64_t>(config.loading.map_labels.size());
  SamplePrediction one;
  one.sample = row;
  one.masks = torch::zeros({labels, cells, cells});
  one.masks[static_cast<std::int64_t>(index_of(config.loading.map_labels, "drivable_area"))].fill_(drivable ? 1 : 0);
  one.labelled = torch::ones({labels}, torch::kBool);
  one.said["waypoints"] = said;
  return one;
}

}  // namespace

TEST_CASE("the chain of way-points is a GRU's, step by step", "[bevfusion][driving]") {
  torch::manual_seed(5);
  WaypointHeadOptions options;
  options.inputs = 6;
  options.hidden = 8;
  options.squares = 2;
  WaypointHead head(options);
  head->eval();
  const torch::Tensor shared = torch::randn({2, 6, 8, 8});
  const torch::Tensor measured = torch::randn({2, 7});
  const WaypointChain chain = head->forward(shared, measured);
  REQUIRE(chain.waypoints.sizes() == torch::IntArrayRef({2, 3, 2}));

  const auto p = [&](const std::string& name) { return head->named_parameters()[name]; };
  const auto linear = [&](const std::string& name, const torch::Tensor& x) {
    return x.matmul(p(name + ".weight").t()) + p(name + ".bias");
  };
  // Means over the four quarters of the reduced map, in rows.
  const torch::Tensor map = head->named_children()["reduce"]->as<ConvBlockImpl>()->forward(shared);
  REQUIRE(map.sizes() == torch::IntArrayRef({2, 6, 4, 4}));
  std::vector<torch::Tensor> quarters;
  for (const int i : {0, 2}) {
    for (const int j : {0, 2}) {
      quarters.push_back(map.narrow(2, i, 2).narrow(3, j, 2).mean({2, 3}));
    }
  }
  const torch::Tensor pooled = torch::stack(quarters, 2).flatten(1);
  CHECK(torch::allclose(pooled, chain.pooled, 1e-5, 1e-6));
  torch::Tensor h = torch::cat(
      {linear("begin", pooled).clamp_min(0), linear("measure_out", linear("measure_in", measured).clamp_min(0)).clamp_min(0)}, 1);
  const torch::Tensor gate = 1 / (1 + (-linear("gate", pooled)).exp());
  torch::Tensor place = torch::zeros({2, 2});
  for (std::int64_t k = 0; k < 3; ++k) {
    const torch::Tensor x = torch::cat({place, measured.narrow(1, 4, 2)}, 1);
    const torch::Tensor of_x = x.matmul(p("cell.weight_ih").t()) + p("cell.bias_ih");
    const torch::Tensor of_h = h.matmul(p("cell.weight_hh").t()) + p("cell.bias_hh");
    const auto part = [](const torch::Tensor& all, std::int64_t i) { return all.narrow(1, 8 * i, 8); };
    const torch::Tensor reset = 1 / (1 + (-(part(of_x, 0) + part(of_h, 0))).exp());
    const torch::Tensor update = 1 / (1 + (-(part(of_x, 1) + part(of_h, 1))).exp());
    const torch::Tensor fresh = (part(of_x, 2) + reset * part(of_h, 2)).tanh();
    h = (1 - update) * fresh + update * h;
    place = place + linear("step", torch::cat({h, gate}, 1));
    CHECK(torch::allclose(chain.waypoints.select(1, k), 10 * place, 1e-5, 1e-5));
  }
  CHECK(torch::allclose(chain.state, h, 1e-5, 1e-6));
  CHECK(torch::equal(head->forward(shared, {}).waypoints, head->forward(shared, torch::zeros({2, 7})).waypoints));
  CHECK_FALSE(torch::allclose(head->forward(shared, {}).waypoints, chain.waypoints));
}

TEST_CASE("labels and what the car tells are turned as the sample is", "[bevfusion][driving]") {
  const RunConfig config = waypoint_config();
  const Tables& tables = TinyData::get().tables;
  const auto& task = *kinds().tasks.at("waypoints");
  LoadingOptions plain = config.loading;
  plain.augment = false;
  const SampleLoader straight(tables, plain);
  const SampleLoader turned(tables, config.loading);
  int labelled = 0;
  for (const RowIndex row : TinyData::get().training) {
    const TrainingSample one = straight.load(row, 0);
    const TrainingSample other = turned.load(row, 0);
    const Eigen::Matrix2d by = other.lidar_augmentation.topLeftCorner<2, 2>();
    CHECK_FALSE(by.isIdentity(1e-3));
    const torch::Tensor told = task.measured({tables, row, one});
    const torch::Tensor told_turned = task.measured({tables, row, other});
    const Eigen::Vector2d front(told[0].item<double>(), told[1].item<double>());
    CHECK(front.y() > 0.99);  // the LiDAR's y
    const Eigen::Vector2d front_turned = by * front / std::sqrt(by.determinant());
    CHECK(told_turned[0].item<double>() == Approx(front_turned.x()).margin(1e-5));
    CHECK(told_turned[1].item<double>() == Approx(front_turned.y()).margin(1e-5));
    const torch::Tensor way = task.labels({tables, row, one});
    const torch::Tensor way_turned = task.labels({tables, row, other});
    CHECK(way.defined() == has_way(row));
    CHECK(way_turned.defined() == has_way(row));
    if (!way.defined()) {
      continue;
    }
    ++labelled;
    for (std::int64_t k = 0; k < 3; ++k) {
      const Eigen::Vector2d place(way[k][0].item<double>(), way[k][1].item<double>());
      const Eigen::Vector2d expected = by * place;
      CHECK(way_turned[k][0].item<double>() == Approx(expected.x()).margin(1e-4));
      CHECK(way_turned[k][1].item<double>() == Approx(expected.y()).margin(1e-4));
    }
  }
  CHECK(labelled == 4);
}

TEST_CASE("only samples whose way is known enter the loss", "[bevfusion][driving]") {
  const RunConfig config = waypoint_config();
  Network network = make_network(config);
  network->eval();
  BevFusion tower = network->towers().front();
  const TrainingData data(TinyData::get().tables, TinyData::get().training, config, network->tasks());
  int without = 0;
  int with = 0;
  for (std::size_t k = 0; k < data.batches(); ++k) {
    TrainingBatch batch = data.load(0, k);
    REQUIRE(batch.batch.input.measured.at("waypoints").sizes() == torch::IntArrayRef({2, 7}));
    const torch::Tensor z = tower->fuse(tower->branches(batch.batch.input));
    const Outputs said = labelled_outputs(tower, {z}, batch);
    const torch::Tensor loss = task_losses(tower, said, batch, config).at(0);
    double sum = 0;
    double labelled = 0;
    for (std::size_t b = 0; b < batch.rows.size(); ++b) {
      if (has_way(batch.rows[b])) {
        const torch::Tensor way = batch.batch.labels.at("waypoints")[b];
        const torch::Tensor predicted =
            std::any_cast<const WaypointChain&>(said.at("waypoints")).waypoints[static_cast<std::int64_t>(b)];
        for (std::int64_t i = 0; i < 6; ++i) {
          sum += std::abs(predicted.flatten()[i].item<double>() - way.flatten()[i].item<double>()) / 6;
        }
        labelled += 1;
      }
    }
    if (labelled == 0) {
      CHECK_FALSE(loss.defined());
      CHECK(said.empty());
      ++without;
      continue;
    }
    CHECK(loss.item<double>() == Approx(sum / labelled).epsilon(1e-5));
    ++with;
  }
  CHECK(without + with == 5);
  CHECK(with > 0);
}

TEST_CASE("way-points are learnt", "[bevfusion][driving]") {
  RunConfig config = waypoint_config();
  config.training.epochs = 25;
  config.training.batch = 5;
  config.training.evaluate_every = 0;
  config.loading.augment = false;
  Network network = make_network(config);
  const auto distance = [&] {
    const EvaluationFigures figures = evaluate(network, TinyData::get().tables, TinyData::get().training, config);
    return figures.of<WaypointFigures>("waypoints")->headline().at(0).second;
  };
  const double before = distance();
  const bevfusion::testing::TemporaryFolder folder;
  TrainerOptions options;
  options.out = folder.path();
  CHECK(Trainer(config, network, TinyData::get().tables, TinyData::get().training, options).run().finished);
  const double after = distance();
  CHECK(before > 1);
  CHECK(after < 0.4 * before);
}

TEST_CASE("way-points are measured in metres, collisions and areas", "[bevfusion][driving]") {
  const RunConfig config = waypoint_config();
  const Tables& tables = TinyData::get().tables;
  const auto new_figures = [&] { return kinds().tasks.at("waypoints")->figures(tables, config); };
  const auto all = new_figures();
  const auto first = new_figures();
  const auto second = new_figures();
  const RowIndex row = TinyData::get().training.front();
  REQUIRE(has_way(row));
  const Waypoints driven = driven_waypoints(tables, row).value();
  Waypoints aside = driven;
  for (Eigen::Vector2d& place : aside) {
    place += Eigen::Vector2d(3, 4);
  }
  Waypoints longer = driven;
  longer[2].y() += 3;
  const SamplePrediction one = sample_with(row, {aside, driven}, config, true);
  const SamplePrediction two = sample_with(row, {longer, driven}, config, false);
  const SamplePrediction three = sample_with(row, {driven, std::nullopt}, config, true);
  for (const auto* prediction : {&one, &two, &three}) {
    all->add(*prediction);
  }
  first->add(one);
  second->add(two);
  second->add(three);
  first->take(second->given().value());
  for (const auto& figures : {std::cref(*all), std::cref(*first)}) {
    CHECK(figures.get().headline().at(0).first == "waypoint_L2");
    CHECK(figures.get().headline().at(0).second == Approx((3 * 5 + 3) / 6.0));
    nlohmann::ordered_json json;
    figures.get().add_details(json);
    const auto& measures = json.at("waypoints");
    CHECK(measures.at("L2_0.5s").get<double>() == Approx(2.5));
    CHECK(measures.at("L2_1.5s").get<double>() == Approx(4));
    // Everywhere drivable in the first, nowhere in the second.
    CHECK(measures.at("off_road_rate").get<double>() == Approx(0.5));
    CHECK(measures.at("driven_off_road_rate").get<double>() == Approx(0.5));
    CHECK(measures.at("driven_collision_rate").get<double>() == 0);
    CHECK(measures.at("samples") == 2);
    CHECK(measures.at("without_a_way") == 1);
    CHECK(figures.get().text().find("2 samples; of 1 the scene ends too early") != std::string::npos);
  }
  CHECK_THROWS_AS(first->take("short"), std::invalid_argument);
}

TEST_CASE("a plan that is no number stands still, and is told", "[bevfusion][driving]") {
  const RunConfig config = waypoint_config();
  const auto& task = *kinds().tasks.at("waypoints");
  Batch batch;
  bool finite = true;
  torch::Tensor said = torch::ones({1, 3, 2});
  const auto good = std::any_cast<WaypointPrediction>(task.prediction(WaypointChain{said, {}, {}}, 0, batch, config, finite));
  CHECK(finite);
  CHECK(good.planned[2] == Eigen::Vector2d(1, 1));
  CHECK_FALSE(good.driven);
  said[0][1][0] = NAN;
  const auto bad = std::any_cast<WaypointPrediction>(task.prediction(WaypointChain{said, {}, {}}, 0, batch, config, finite));
  CHECK_FALSE(finite);
  CHECK(bad.planned[2] == Eigen::Vector2d(0, 0));
}

TEST_CASE("ways are drawn, and the legend names their colours", "[bevfusion][driving]") {
  const RunConfig config = waypoint_config();
  const Tables& tables = TinyData::get().tables;
  const auto& task = *kinds().tasks.at("waypoints");
  const PictureContext context{tables, config, 0.15, {}};
  const RowIndex row = TinyData::get().training.front();
  const Waypoints driven = driven_waypoints(tables, row).value();
  Waypoints planned = driven;
  planned[0].x() += 1;
  SampleDrawing drawing;
  task.draw(drawing, sample_with(row, {planned, driven}, config, true), context);
  REQUIRE(drawing.driven.size() == 1);
  REQUIRE(drawing.planned.size() == 1);
  CHECK(drawing.driven[0].colour == driven_colour);
  REQUIRE(drawing.planned[0].places.size() == 4);
  const KeyFrame frame = key_frame_of(tables, row);
  for (std::size_t k = 0; k <= waypoint_count; ++k) {
    // On the ground: the ego frame's z is 0.
    CHECK((frame.ego_from_lidar * drawing.planned[0].places[k]).z() == Approx(0).margin(1e-9));
  }
  const Eigen::Vector3d step = drawing.planned[0].places[1] - drawing.driven[0].places[1];
  CHECK(step.x() == Approx(1).margin(1e-3));
  PictureLegend legend;
  task.add_legend(legend, context);
  CHECK(legend.swatches.find(css(planned_colour)) != std::string::npos);
}

TEST_CASE("a teacher's way-points teach by their distance", "[bevfusion][driving]") {
  const RunConfig config = waypoint_config();
  const auto& task = *kinds().tasks.at("waypoints");
  torch::Tensor said = torch::zeros({2, 3, 2}, torch::requires_grad());
  torch::Tensor expert = torch::zeros({2, 3, 2}, torch::requires_grad());
  const torch::Tensor one = task.response(WaypointChain{said, {}, {}}, WaypointChain{expert + 2, {}, {}}, config);
  CHECK(one.item<double>() == Approx(2));
  one.backward();
  CHECK(said.grad().sum().item<double>() == Approx(-1));
  CHECK_FALSE(expert.grad().defined());
}
