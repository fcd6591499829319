// SPDX-License-Identifier: Apache-2.0
// Losses by task, gradient accumulation, mixed precision, and short runs of every calibrator, on a tiny data set.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/config/calibration_choice.hpp"
#include "bevfusion/tests/support/tiny_run.hpp"
#include "bevfusion/training/gradient_norm.hpp"
#include "bevfusion/training/task_losses.hpp"
#include "bevfusion/training/tower_trainer.hpp"
#include "support/catch.hpp"

namespace {

using bevfusion::testing::tiny_config;
using bevfusion::testing::TinyData;

bevfusion::TrainingData data_of(const bevfusion::RunConfig& config) {
  return {TinyData::get().tables, TinyData::get().training, config};
}

/// What one batch leaves in .grad of every parameter, undefined ones as zeros.
std::vector<torch::Tensor> gradients_of(bevfusion::BevFusion& tower) {
  std::vector<torch::Tensor> gradients;
  for (const torch::Tensor& parameter : tower->parameters()) {
    gradients.push_back(parameter.grad().defined() ? parameter.grad().clone() : torch::zeros_like(parameter));
  }
  return gradients;
}

TEST_CASE("a task without labels in the batch has no loss, and its samples no part in it", "[bevfusion][training]") {
  bevfusion::RunConfig config = tiny_config();
  config.model.parts.tasks["foreground"] = true;
  bevfusion::Network network = bevfusion::make_network(config);
  network->eval();
  bevfusion::BevFusion tower = network->towers().front();
  bevfusion::TrainingBatch batch = data_of(config).load(0, 0);
  const torch::Tensor z = tower->fuse(tower->branches(batch.batch.input));
  const auto losses = [&](const bevfusion::TrainingBatch& of) {
    return bevfusion::task_losses(tower, bevfusion::labelled_outputs(tower, {z}, of), of, config);
  };
  const auto all = losses(batch);
  REQUIRE(all.size() == 3);
  for (const torch::Tensor& loss : all) {
    CHECK(loss.item<double>() > 0);
  }

  bevfusion::TrainingBatch no_boxes = batch;
  no_boxes.boxes_labelled = {false, false};
  CHECK_FALSE(losses(no_boxes)[0].defined());
  CHECK_FALSE(losses(no_boxes)[2].defined());
  CHECK(losses(no_boxes)[1].item<double>() == all[1].item<double>());
  bevfusion::TrainingBatch no_map = batch;
  no_map.batch.labelled = torch::zeros_like(batch.batch.labelled);
  CHECK_FALSE(losses(no_map)[1].defined());
  CHECK(losses(no_map)[0].item<double>() == all[0].item<double>());

  // Boxes of a sample that has none as labels may be anything; those of the other may not.
  bevfusion::TrainingBatch half = batch;
  half.boxes_labelled = {true, false};
  const auto before = losses(half);
  half.batch.boxes[1].clear();
  CHECK(losses(half)[0].item<double>() == before[0].item<double>());
  CHECK(losses(half)[2].item<double>() == before[2].item<double>());
  half.batch.boxes[0].clear();
  CHECK(losses(half)[0].item<double>() != before[0].item<double>());
  CHECK(losses(half)[2].item<double>() != before[2].item<double>());

  config.losses.tasks = "split_detection";
  const auto split = losses(batch);
  REQUIRE(split.size() == 5);
  CHECK((split[0] + split[1] + split[2]).item<double>() == Approx(all[0].item<double>()));
  CHECK(split[3].item<double>() == all[1].item<double>());
}

TEST_CASE("boxes without a point are no labels", "[bevfusion][training]") {
  const auto data = data_of(tiny_config());
  std::size_t boxes = 0;
  for (std::size_t k = 0; k < data.batches(); ++k) {
    for (const auto& of_sample : data.load(0, k).batch.boxes) {
      boxes += of_sample.size();
      for (const bevfusion::Box3D& box : of_sample) {
        CHECK(box.lidar_points + box.radar_points > 0);
      }
    }
  }
  CHECK(boxes > 0);
}

TEST_CASE("batches come in the order of the sampler from any place on", "[bevfusion][training]") {
  const auto data = data_of(tiny_config());
  REQUIRE(data.batches() == 5);
  const auto batches = data.prefetch(7);  // batch 2 of epoch 1
  for (std::size_t k = 2; k < 5; ++k) {
    const auto batch = batches->next();
    REQUIRE(batch.has_value());
    const auto expected = data.load(1, k);
    CHECK(torch::equal(batch->batch.input.images, expected.batch.input.images));
    CHECK(torch::equal(batch->batch.input.clouds[1], expected.batch.input.clouds[1]));
    CHECK(torch::equal(batch->batch.masks, expected.batch.masks));
  }
  CHECK_FALSE(batches->next().has_value());
  CHECK_FALSE(torch::equal(data.load(0, 2).batch.input.images, data.load(1, 2).batch.input.images));
}

TEST_CASE("accumulated gradients are the mean of the batches' own, calibrated or not", "[bevfusion][training]") {
  for (const std::string rule : {"none", "imtl_g"}) {
    bevfusion::RunConfig config = tiny_config();
    config.calibration.rule = rule;
    config.calibration.gate = "none";
    bevfusion::Network network = bevfusion::make_network(config);
    network->train();
    bevfusion::BevFusion tower = network->towers().front();
    const auto data = data_of(config);
    const auto after = [&](const std::vector<std::size_t>& batches) {
      tower->zero_grad();
      bevfusion::TowerTrainer trainer(tower, config);
      for (const std::size_t k : batches) {
        const auto batch = data.load(0, k);
        torch::manual_seed(k);  // for the dropout of the heads' attention
        trainer.backward(batch.batch.input, batch, 1.0 / static_cast<double>(batches.size()));
      }
      return gradients_of(tower);
    };
    const auto first = after({0});
    const auto second = after({1});
    const auto both = after({0, 1});
    for (std::size_t i = 0; i < both.size(); ++i) {
      INFO(rule << ", parameter " << i);
      CHECK(torch::allclose(both[i], (first[i] + second[i]) / 2, 1e-4, 1e-6));
    }
  }
}

TEST_CASE("the whole gradient is clipped to a length", "[bevfusion][training]") {
  torch::Tensor a = torch::zeros({1}, torch::requires_grad());
  torch::Tensor b = torch::zeros({2}, torch::requires_grad());
  const torch::Tensor without = torch::zeros({1}, torch::requires_grad());
  const std::vector<torch::Tensor> parameters{a, b, without};
  CHECK(bevfusion::gradient_norm(parameters) == 0);
  a.mutable_grad() = torch::tensor({3.0F});
  b.mutable_grad() = torch::tensor({0.0F, -4.0F});
  CHECK(bevfusion::gradient_norm(parameters) == 5);
  CHECK(bevfusion::clip_factor(5, 10) == 1);
  CHECK(bevfusion::clip_factor(5, 0) == 1);
  CHECK(bevfusion::clip_factor(5, 1) == Approx(0.2));
  bevfusion::scale_gradients(parameters, 0.5);
  CHECK(torch::equal(a.grad(), torch::tensor({1.5F})));
  CHECK(torch::equal(b.grad(), torch::tensor({0.0F, -2.0F})));
  CHECK_FALSE(without.grad().defined());
}

TEST_CASE("a gradient that is not finite stops the training in words", "[bevfusion][training]") {
  bevfusion::RunConfig config = tiny_config();
  bevfusion::Network network = bevfusion::make_network(config);
  bevfusion::TowerTrainer trainer(network->towers().front(), config);
  torch::Tensor parameter = network->parameters().front();
  const torch::Tensor before = parameter.detach().clone();
  parameter.mutable_grad() = torch::full_like(parameter, std::numeric_limits<float>::infinity());
  try {
    trainer.step({1e-3, 0.9});
    FAIL("an infinite gradient was taken");
  } catch (const std::runtime_error& error) {
    CHECK(std::string(error.what()).find("not finite") != std::string::npos);
  }
  CHECK(torch::equal(parameter, before));
}

TEST_CASE("every calibrator trains the tiny network, on whole and on parted labels, and its log says what it did",
          "[bevfusion][training]") {
  struct Case {
    std::string rule, gate, labels, tasks, surface, precision;
  };
  const std::vector<Case> cases{
      {"none", "none", "full", "heads", "published", "float32"},
      {"none", "gradient", "full", "split_detection", "all_shared", "float32"},
      {"uniform", "none", "full", "heads", "published", "float32"},
      {"uniform", "measure", "full", "heads", "published", "float32"},
      {"imtl_g", "gradient", "full", "heads", "published", "float32"},
      {"imtl_g", "update", "disjoint_balance", "heads", "published", "float32"},
      {"imtl_g", "gradient", "full", "heads", "representation", "bfloat16"},
      {"gradnorm", "none", "full", "heads", "published", "float32"},
      {"dwa", "gradient", "disjoint_normal", "heads", "published", "float32"},
      {"pcgrad", "none", "full", "heads", "published", "float32"},
      {"wpcgrad", "gradient", "full", "split_detection", "published", "float32"},
  };
  for (const Case& one : cases) {
    INFO(one.rule << ", gate " << one.gate << ", labels " << one.labels << ", tasks " << one.tasks << ", " << one.precision);
    bevfusion::RunConfig config = tiny_config();
    config.calibration.rule = one.rule;
    config.calibration.gate = one.gate;
    config.calibration.surface = one.surface;
    config.calibration.measure_every = 1;
    config.data.labels = one.labels;
    config.losses.tasks = one.tasks;
    config.training.precision = one.precision;
    config.training.batch = one.labels == "full" ? 2 : 1;  // parted: some batches lack a task
    config.training.epochs = 1;
    check(config);
    const bevfusion::testing::TemporaryFolder folder;
    bevfusion::TrainerOptions options;
    options.out = folder.path();
    options.most_steps = one.labels == "full" ? 2 : 5;
    bevfusion::Network network = bevfusion::make_network(config);
    bevfusion::Trainer(config, network, TinyData::get().tables, TinyData::get().training, options).run();

    const auto lines = bevfusion::testing::log_lines(folder.path());
    REQUIRE(lines.size() == static_cast<std::size_t>(options.most_steps) + 1);
    CHECK(lines[0].at("kind") == "run");
    CHECK(lines[0].at("tasks") == bevfusion::task_names(config));
    for (std::size_t i = 1; i < lines.size(); ++i) {
      const auto& line = lines[i];
      CHECK(line.at("step") == i);
      CHECK(std::isfinite(line.at("loss").get<double>()));
      CHECK(line.at("gradient_norm").get<double>() > 0);
      CHECK(line.contains("weights") == (one.rule != "none"));
      CHECK(line.contains("gates") == (one.gate != "none"));
      if (one.labels == "full") {
        CHECK(line.at("losses").size() == bevfusion::task_names(config).size());
        CHECK(line.contains("gamma_task") == (one.rule != "none"));
      } else {
        CHECK(line.at("losses").size() == 1);
      }
      if (one.rule == "imtl_g" && one.labels == "full") {
        // For two tasks IMTL-G makes the weighted gradients equally long.
        CHECK(line.at("gamma_task_weighted").get<double>() == Approx(1).epsilon(1e-6));
      }
    }
  }
}

TEST_CASE("a gate that only measures logs gamma_modal and leaves the training as it is, bit for bit", "[bevfusion][training]") {
  for (const std::string rule : {"none", "uniform"}) {
    INFO(rule);
    bevfusion::RunConfig config = tiny_config();
    config.calibration.rule = rule;
    config.calibration.measure_every = 1;
    config.training.epochs = 1;
    const auto trained = [&config](const std::string& gate, std::vector<nlohmann::json>& lines) {
      config.calibration.gate = gate;
      check(config);
      const bevfusion::testing::TemporaryFolder folder;
      bevfusion::TrainerOptions options;
      options.out = folder.path();
      options.most_steps = 3;
      bevfusion::Network network = bevfusion::make_network(config);
      bevfusion::Trainer(config, network, TinyData::get().tables, TinyData::get().training, options).run();
      lines = bevfusion::testing::log_lines(folder.path());
      return network;
    };
    std::vector<nlohmann::json> plain;
    std::vector<nlohmann::json> measured;
    CHECK(bevfusion::testing::equal(trained("none", plain), trained("measure", measured)));
    REQUIRE(plain.size() == 4);
    REQUIRE(measured.size() == 4);
    for (std::size_t i = 1; i < plain.size(); ++i) {
      CHECK_FALSE(plain[i].contains("gamma_modal"));
      const auto& norms = measured[i].at("branch_norms");
      CHECK(measured[i].at("gamma_modal").get<double>() ==
            Approx(norms.at("lidar").get<double>() / norms.at("camera").get<double>()).epsilon(1e-12));
      CHECK_FALSE(plain[i].contains("branch_norms"));
      measured[i].erase("branch_norms");
      CHECK(measured[i].at("gates") == nlohmann::json{{"lidar", 1.0}, {"camera", 1.0}});
      measured[i].erase("gamma_modal");
      measured[i].erase("gates");
      CHECK(measured[i] == plain[i]);
    }
  }
}

TEST_CASE("gamma_modal is the ratio of the fusion gradient's slices, gated or not", "[bevfusion][training]") {
  bevfusion::RunConfig config = tiny_config();
  config.calibration.rule = "none";
  config.calibration.gate = "none";
  bevfusion::Network network = bevfusion::make_network(config);
  network->train();
  bevfusion::BevFusion tower = network->towers().front();
  const auto batch = data_of(config).load(0, 0);
  const auto run = [&](const std::string& gate) {
    config.calibration.gate = gate;
    tower->zero_grad();
    bevfusion::TowerTrainer trainer(tower, config);
    torch::manual_seed(1);  // for the dropout of the heads' attention
    trainer.backward(batch.batch.input, batch, 1.0);
    return trainer.diagnostics();
  };
  run("none");
  // The fusion weight reads the branches' channels one after the other.
  const torch::Tensor gradient = tower->fusion_weight().grad().to(torch::kDouble);
  const std::int64_t first = tower->branches(batch.batch.input).front().size(1);
  REQUIRE(first < gradient.size(1));
  const double lidar = gradient.slice(1, 0, first).norm().item<double>();
  const double camera = gradient.slice(1, first).norm().item<double>();
  const double expected = std::max(lidar, camera) / std::min(lidar, camera);
  CHECK(expected > 1.01);
  for (const char* gate : {"measure", "gradient"}) {
    CHECK(run(gate)->gamma_modal == Approx(expected).epsilon(1e-5));
  }
}

TEST_CASE("towers of their own train without a calibration", "[bevfusion][training]") {
  bevfusion::RunConfig config = tiny_config();
  config.model.separate_towers = true;
  config.calibration.rule = config.calibration.gate = "none";
  config.training.epochs = 1;
  check(config);
  const bevfusion::testing::TemporaryFolder folder;
  bevfusion::TrainerOptions options;
  options.out = folder.path();
  options.most_steps = 2;
  bevfusion::Network network = bevfusion::make_network(config);
  REQUIRE(network->towers().size() == 2);
  bevfusion::Trainer(config, network, TinyData::get().tables, TinyData::get().training, options).run();
  const auto lines = bevfusion::testing::log_lines(folder.path());
  REQUIRE(lines.size() == 3);
  CHECK(lines[2].at("losses").size() == 2);
  CHECK_FALSE(lines[2].contains("weights"));
}

TEST_CASE("training learns: four samples by heart", "[bevfusion][training]") {
  bevfusion::RunConfig config = tiny_config();
  config.loading.augment = false;
  config.training.batch = 4;
  config.training.epochs = 24;
  config.training.checkpoint_every = 1000;
  const bevfusion::testing::TemporaryFolder folder;
  bevfusion::TrainerOptions options;
  options.out = folder.path();
  const std::vector<bevfusion::RowIndex> four(TinyData::get().training.begin(), TinyData::get().training.begin() + 4);
  bevfusion::Network network = bevfusion::make_network(config);
  const auto outcome = bevfusion::Trainer(config, network, TinyData::get().tables, four, options).run();
  CHECK(outcome.finished);
  const auto lines = bevfusion::testing::log_lines(folder.path());
  REQUIRE(lines.size() == 25);
  for (const char* task : {"detection", "segmentation"}) {
    INFO(task);
    CHECK(lines.back().at("losses").at(task).get<double>() < 0.6 * lines[1].at("losses").at(task).get<double>());
  }
}

}  // namespace
