// SPDX-License-Identifier: Apache-2.0
// Controls, speed and red lights as tasks: the chain of controls against a second writing of it, labels against the generator's
// drives, losses and figures by hand; and a network at the wheel.
#include <any>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/config/calibration_choice.hpp"
#include "bevfusion/evaluation/evaluate.hpp"
#include "bevfusion/evaluation/network_driver.hpp"
#include "bevfusion/heads/control_head.hpp"
#include "bevfusion/synth/generate.hpp"
#include "bevfusion/synth/synth_scene.hpp"
#include "bevfusion/tasks/control_prediction.hpp"
#include "bevfusion/tasks/number_task.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "bevfusion/training/split_samples.hpp"
#include "bevfusion/training/task_losses.hpp"
#include "bevfusion/training/trainer.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;

constexpr int samples_of_scene = 8;

/// Three scenes of a driver, eight samples each; five of a scene have a way of 1.5 s before them.
struct DrivenData {
  DrivenData() {
    options = SynthOptions::tiny();
    options.out = folder.path();
    options.scenes = 3;
    options.samples = samples_of_scene;
    options.sweeps = 1;
    options.seed = 21;
    options.supersample = 1;
    options.validation_scenes = 1;
    options.driving = true;
    generate(options);
    tables = read_tables(folder.path(), options.version);
    training = samples_of_split(tables, "train").rows;
  }
  static const DrivenData& get() {
    static const DrivenData data;
    return data;
  }

  bevfusion::testing::TemporaryFolder folder;
  SynthOptions options;
  Tables tables;
  std::vector<RowIndex> training;
};

RunConfig driver_config(const std::vector<std::string>& tasks) {
  RunConfig config = run_of_size("tiny");
  config.data.root = DrivenData::get().folder.path();
  config.loading.sweeps = 2;
  config.training.batch = 4;
  config.training.evaluate_every = 0;
  config.model.parts.tasks["detection"] = config.model.parts.tasks["segmentation"] = false;
  for (const std::string& task : tasks) {
    config.model.parts.tasks[task] = true;
  }
  config.calibration.rule = "none";
  config.calibration.gate = "none";
  complete(config);
  check(config);
  return config;
}

}  // namespace

TEST_CASE("the chain of controls goes on from that of the way-points", "[bevfusion][driving]") {
  torch::manual_seed(6);
  WaypointHeadOptions options;
  options.inputs = 6;
  options.hidden = 8;
  options.squares = 1;
  ControlHead head(options);
  head->eval();
  const torch::Tensor shared = torch::randn({2, 6, 8, 8});
  const torch::Tensor measured = torch::randn({2, 7});
  const ControlChain chain = head->forward(shared, measured);
  REQUIRE(chain.controls.sizes() == torch::IntArrayRef({2, 4, 3}));
  const auto p = [&](const std::string& name) { return head->named_parameters()[name]; };
  const auto linear = [&](const std::string& name, const torch::Tensor& x) {
    return x.matmul(p(name + ".weight").t()) + p(name + ".bias");
  };
  const auto sigmoid = [](const torch::Tensor& x) { return 1 / (1 + (-x).exp()); };
  const torch::Tensor gate = sigmoid(linear("gate", chain.way.pooled));
  torch::Tensor h = chain.way.state;
  torch::Tensor c = linear("first.2", linear("first.0", h + gate).clamp_min(0));
  for (std::int64_t k = 0; k < 4; ++k) {
    if (k > 0) {
      const torch::Tensor x = torch::cat({sigmoid(c), measured.narrow(1, 4, 2)}, 1);
      const torch::Tensor of_x = x.matmul(p("cell.weight_ih").t()) + p("cell.bias_ih");
      const torch::Tensor of_h = h.matmul(p("cell.weight_hh").t()) + p("cell.bias_hh");
      const auto part = [](const torch::Tensor& all, std::int64_t i) { return all.narrow(1, 8 * i, 8); };
      const torch::Tensor update = sigmoid(part(of_x, 1) + part(of_h, 1));
      const torch::Tensor fresh = (part(of_x, 2) + sigmoid(part(of_x, 0) + part(of_h, 0)) * part(of_h, 2)).tanh();
      h = (1 - update) * fresh + update * h;
      c = c + linear("next.2", linear("next.0", torch::cat({h, gate}, 1)).clamp_min(0));
    }
    const torch::Tensor now = chain.controls.select(1, k);
    CHECK(torch::allclose(now.select(1, 0), 2 * sigmoid(c).select(1, 0) - 1, 1e-5, 1e-6));
    CHECK(torch::allclose(now.narrow(1, 1, 2), sigmoid(c).narrow(1, 1, 2), 1e-5, 1e-6));
  }
}

TEST_CASE("labels of a driver are what the generator's driver does", "[bevfusion][driving]") {
  const DrivenData& data = DrivenData::get();
  const RunConfig config = driver_config({"controls", "speed", "red_light"});
  LoadingOptions loading = config.loading;
  loading.augment = false;
  const SampleLoader loader(data.tables, loading);
  int red = 0;
  for (int s = 0; s < data.options.scenes; ++s) {
    const SynthScene scene = make_scene(data.options, s);
    for (int i = 0; i < samples_of_scene; ++i) {
      const auto row = static_cast<RowIndex>(s * samples_of_scene + i);
      TrainingSample sample = loader.load(row, 0);
      const LabelSource source{data.tables, row, sample};
      const VehicleState state = scene.drive->at(0.5 * i);
      CHECK(kinds().tasks.at("speed")->labels(source).item<double>() == Approx(state.speed).margin(0.003));
      const double light = kinds().tasks.at("red_light")->labels(source).item<double>();
      const auto ahead =
          scene.drive->light_ahead(scene.drive->route.nearest(state.pose.position, 0, scene.drive->route.length()), 50);
      const bool is_red = ahead && ahead->light.at(0.5 * i) == LightState::red;
      CHECK(std::isfinite(light) == is_red);
      red += is_red ? 1 : 0;
      const torch::Tensor controls = kinds().tasks.at("controls")->labels(source);
      REQUIRE(controls.defined() == (i + 3 < samples_of_scene));
      if (!controls.defined()) {
        continue;
      }
      REQUIRE(controls.sizes() == torch::IntArrayRef({7, 3}));
      CHECK(torch::equal(controls.narrow(0, 0, 3).narrow(1, 0, 2), kinds().tasks.at("waypoints")->labels(source)));
      for (int k = 0; k < 4; ++k) {
        const Controls now = scene.drive->controls_at(0.5 * (i + k));
        CHECK(controls[3 + k][0].item<double>() == Approx(now.steer).margin(1e-4));
        CHECK(controls[3 + k][1].item<double>() == Approx(now.throttle).margin(1e-3));
        CHECK(controls[3 + k][2].item<double>() == Approx(now.brake).margin(5e-3));
      }
      // In a mirror the car steers to the other side.
      sample.lidar_augmentation(0, 0) = -1;
      const torch::Tensor mirrored = kinds().tasks.at("controls")->labels(source);
      CHECK(mirrored[3][0].item<double>() == -controls[3][0].item<double>());
      CHECK(mirrored[0][0].item<double>() == -controls[0][0].item<double>());
      CHECK(mirrored[0][1].item<double>() == controls[0][1].item<double>());
    }
  }
  CHECK(red > 0);
}

TEST_CASE("the loss of controls is the sum of its four parts", "[bevfusion][driving]") {
  RunConfig config = driver_config({"controls"});
  Network network = make_network(config);
  network->eval();
  BevFusion tower = network->towers().front();
  const TrainingData data(DrivenData::get().tables, DrivenData::get().training, config, network->tasks());
  const TrainingBatch batch = data.load(0, 0);
  const torch::Tensor z = tower->fuse(tower->branches(batch.batch.input));
  const Outputs said = labelled_outputs(tower, {z}, batch);
  REQUIRE(said.count("controls") == 1);
  const double whole = task_losses(tower, said, batch, config).at(0).item<double>();
  config.losses.tasks = "split_controls";
  config.calibration.rule = "imtl_g";
  CHECK_THROWS_AS(check(config), std::invalid_argument);  // four losses of one head
  config.calibration.surface = "all_shared";
  check(config);
  CHECK(task_names(config) == std::vector<std::string>{"way", "steer", "throttle", "brake"});
  const std::vector<torch::Tensor> parts = task_losses(tower, said, batch, config);
  REQUIRE(parts.size() == 4);
  double sum = 0;
  for (const torch::Tensor& part : parts) {
    sum += part.item<double>();
  }
  CHECK(whole == Approx(sum));
  const auto& chain = std::any_cast<const ControlChain&>(said.at("controls"));
  double steer = 0;
  double labelled = 0;
  for (std::size_t b = 0; b < batch.rows.size(); ++b) {
    const torch::Tensor label = batch.batch.labels.at("controls")[b];
    if (label.defined()) {
      for (std::int64_t k = 0; k < 4; ++k) {
        steer += std::abs(chain.controls[static_cast<std::int64_t>(b)][k][0].item<double>() - label[3 + k][0].item<double>());
        labelled += 1;
      }
    }
  }
  CHECK(parts[1].item<double>() == Approx(steer / labelled).epsilon(1e-4));
}

TEST_CASE("a driver's tasks are learnt together, saved and evaluated", "[bevfusion][driving]") {
  RunConfig config = driver_config({"controls", "speed", "red_light", "waypoints"});
  config.calibration.rule = "imtl_g";
  config.training.epochs = 20;
  config.loading.augment = false;
  check(config);
  const DrivenData& data = DrivenData::get();
  Network network = make_network(config);
  const auto figure = [&](const EvaluationFigures& figures, const std::string& task) {
    for (const auto& one : figures.tasks) {
      if (one.first == task) {
        return one.second->headline().at(0).second;
      }
    }
    throw std::out_of_range(task);
  };
  const EvaluationFigures before = evaluate(network, data.tables, data.training, config);
  const bevfusion::testing::TemporaryFolder folder;
  TrainerOptions options;
  options.out = folder.path();
  CHECK(Trainer(config, network, data.tables, data.training, options).run().finished);
  Network read = make_network(config);
  load_network(folder.path() / "checkpoint.pt", read);
  const EvaluationFigures after = evaluate(read, data.tables, data.training, config);
  for (const std::string task : {"controls", "speed", "waypoints"}) {
    INFO(task);
    CHECK(figure(after, task) < 0.7 * figure(before, task));
  }
  CHECK(std::isfinite(figure(after, "red_light")));
  nlohmann::ordered_json json;
  for (const auto& one : after.tasks) {
    one.second->add_details(json);
  }
  CHECK(json.at("controls").at("waypoints").at("L2_1.5s").get<double>() > 0);
  CHECK(json.at("controls").at("errors").at("brake").get<double>() >= 0);

  // It drives: what its head says of the rendered sensors is done.
  SynthOptions world_options = data.options;
  world_options.samples = 9;
  World world(make_scene(world_options, 5), world_options);
  for (const std::string by : {"waypoints", "controls"}) {
    const Controls controls = network_driver(read, config, by)(world);
    CHECK(std::abs(controls.steer) <= 1);
    CHECK((controls.throttle >= 0 && controls.throttle <= 1 && controls.brake >= 0 && controls.brake <= 1));
  }
  CHECK_THROWS_AS(network_driver(read, config, "speed"), std::invalid_argument);
  CHECK_THROWS_AS(network_driver(make_network(driver_config({"speed"})), config, "waypoints"), std::invalid_argument);
}

TEST_CASE("a network of one camera drives by what that camera sees", "[bevfusion][driving]") {
  RunConfig config = driver_config({"controls"});
  config.data.cameras = "CAM_BACK";
  complete(config);
  check(config);
  SynthOptions options = DrivenData::get().options;
  options.samples = 9;
  const World world(make_scene(options, 5), options);
  Network network = make_network(config);
  network->eval();
  const auto asked = [&](const std::string& camera) {
    config.data.cameras = camera;
    const Controls controls = network_driver(network, config, "controls")(world);
    return std::vector<double>{controls.steer, controls.throttle, controls.brake};
  };
  const std::vector<double> by_back = asked("CAM_BACK");
  CHECK(asked("CAM_BACK") == by_back);
  CHECK(asked("CAM_FRONT") != by_back);
  CHECK_THROWS_AS(asked("ring"), std::invalid_argument);
  CHECK_THROWS_AS(asked("LIDAR_TOP"), std::invalid_argument);
}

TEST_CASE("a red light is learnt where the map shows it", "[bevfusion][driving]") {
  torch::manual_seed(8);
  const RunConfig config = driver_config({"red_light"});
  const auto& task = *kinds().tasks.at("red_light");
  const auto head = task.make_head(config.model, kinds(), 8);
  torch::Tensor maps = torch::randn({32, 8, 16, 16});
  TrainingBatch batch;
  for (std::int64_t b = 0; b < 32; ++b) {
    const bool red = b % 4 == 0;
    maps[b][2].narrow(0, 8, 4).narrow(1, 8, 4).add_(red ? 2 : -2);
    batch.batch.labels["red_light"].push_back(torch::tensor(red ? 12.0F : std::numeric_limits<float>::infinity()));
  }
  torch::optim::Adam optimizer(head->parameters(), 0.01);
  double last = 0;
  for (int step = 0; step < 60; ++step) {
    const std::any said = task.forward(*head, maps, config.model, kinds().labels);
    const torch::Tensor loss = task.losses(*head, said, batch, config).at(0);
    last = loss.item<double>();
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
  }
  // Who knows the share of red lights alone, a quarter, is left with its entropy.
  CHECK(last < 0.5 * -(0.25 * std::log(0.25) + 0.75 * std::log(0.75)));
  const auto figures = task.figures(DrivenData::get().tables, config);
  const std::any said = task.forward(*head, maps, config.model, kinds().labels);
  bool finite = true;
  for (std::int64_t b = 0; b < 32; ++b) {
    SamplePrediction one;
    one.said["red_light"] = task.prediction(said, b, batch.batch, config, finite);
    figures->add(one);
  }
  CHECK(figures->headline().at(0).second == 1);
}

TEST_CASE("figures of speed, red lights and controls by hand", "[bevfusion][driving]") {
  const RunConfig config = driver_config({"controls", "speed", "red_light"});
  const Tables& tables = DrivenData::get().tables;
  const auto of = [&](const std::string& task) { return kinds().tasks.at(task)->figures(tables, config); };
  const auto said = [](const std::string& task, const std::any& what) {
    SamplePrediction one;
    one.sample = 0;
    one.said[task] = what;
    return one;
  };
  const auto speed = of("speed");
  const auto more = of("speed");
  speed->add(said("speed", NumberPrediction{5, 3, true}));
  more->add(said("speed", NumberPrediction{2, 3, true}));
  more->add(said("speed", NumberPrediction{9, 0, false}));
  speed->take(more->given().value());
  CHECK(speed->headline().at(0).second == Approx(1.5));
  nlohmann::ordered_json json;
  speed->add_details(json);
  CHECK(json.at("speed").at("too_fast").get<double>() == Approx(0.5));
  CHECK(std::isnan(of("speed")->headline().at(0).second));

  // Red: one found, one missed; not red: three left alone, one not.
  const auto lights = of("red_light");
  const auto others = of("red_light");
  for (const auto& [logit, known] : {std::pair<double, double>{2, 1}, {-1, 1}, {-1, 0}, {-2, 0}}) {
    lights->add(said("red_light", NumberPrediction{logit, known, true}));
  }
  for (const auto& [logit, known] : {std::pair<double, double>{-3, 0}, {1, 0}}) {
    others->add(said("red_light", NumberPrediction{logit, known, true}));
  }
  lights->take(others->given().value());
  CHECK(lights->headline().at(0).second == Approx(0.5 * (0.5 + 0.75)));
  lights->add_details(json);
  CHECK(json.at("red_light").at("red_share").get<double>() == Approx(2.0 / 6));

  const auto& task = *kinds().tasks.at("red_light");
  Batch batch;
  bool finite = true;
  batch.labels["red_light"] = {torch::tensor(24.0F), torch::tensor(26.0F), torch::tensor(std::numeric_limits<float>::infinity())};
  const torch::Tensor logits = torch::zeros({3});
  const std::vector<double> known = {1, 0, 0};  // red within 25 m
  for (std::int64_t b = 0; b < 3; ++b) {
    CHECK(std::any_cast<NumberPrediction>(task.prediction(logits, b, batch, config, finite)).known ==
          known[static_cast<std::size_t>(b)]);
  }

  const auto controls = of("controls");
  ControlPrediction one;
  one.controls = {0.5, 0.2, 0};
  one.driven = Controls{0.1, 0.2, 0.3};
  controls->add(said("controls", one));
  CHECK(controls->headline().at(0).second == Approx((0.4 + 0 + 0.3) / 3));
  const auto again = of("controls");
  again->take(controls->given().value());
  CHECK(again->headline().at(0).second == Approx((0.4 + 0 + 0.3) / 3));
}
