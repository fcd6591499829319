// SPDX-License-Identifier: Apache-2.0
// Runs of one seed are pairs: what they share starts from the same weights and sees the same samples and the same dropout.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/tests/support/tiny_run.hpp"
#include "bevfusion/training/averaged_weights.hpp"
#include "bevfusion/training/tower_trainer.hpp"
#include "support/catch.hpp"

namespace {

using bevfusion::RunConfig;
using bevfusion::testing::TemporaryFolder;
using bevfusion::testing::tiny_config;
using bevfusion::testing::TinyData;

/// A network of the tasks that are named, calibrated by nothing.
RunConfig with_tasks(const std::vector<std::string>& tasks) {
  RunConfig config = tiny_config();
  for (const char* task : {"detection", "segmentation", "foreground"}) {
    config.model.parts.tasks[task] = std::find(tasks.begin(), tasks.end(), task) != tasks.end();
  }
  config.calibration.rule = config.calibration.gate = "none";
  return config;
}

/// Parameters and buffers by name, without the tower's.
std::map<std::string, torch::Tensor> weights_of(const bevfusion::BevFusion& tower) {
  std::map<std::string, torch::Tensor> weights;
  for (const auto& one : tower->named_parameters()) {
    weights[one.key()] = one.value();
  }
  return weights;
}

/// How many weights both have, and how many of them differ.
std::pair<std::size_t, std::size_t> compared(const bevfusion::BevFusion& a, const bevfusion::BevFusion& b) {
  const auto of_b = weights_of(b);
  std::size_t common = 0;
  std::size_t other = 0;
  for (const auto& [name, weight] : weights_of(a)) {
    const auto found = of_b.find(name);
    if (found != of_b.end() && found->second.sizes() == weight.sizes()) {
      ++common;
      other += torch::equal(found->second, weight) ? 0 : 1;
    }
  }
  return {common, other};
}

TEST_CASE("networks of one seed start from the same weights in what they share", "[bevfusion][training][paired]") {
  const auto tower_of = [](const RunConfig& config) { return bevfusion::make_network(config)->towers().front(); };
  const bevfusion::BevFusion both = tower_of(with_tasks({"detection", "segmentation"}));
  const std::size_t all = weights_of(both).size();
  for (const std::string task : {"detection", "segmentation"}) {
    INFO(task);
    const bevfusion::BevFusion alone = tower_of(with_tasks({task}));
    const auto [common, other] = compared(alone, both);
    CHECK(common == weights_of(alone).size());  // its head's as well
    CHECK(other == 0);
  }
  const auto of_three = compared(tower_of(with_tasks({"detection", "segmentation", "foreground"})), both);
  CHECK((of_three.first == all && of_three.second == 0));

  RunConfig apart = with_tasks({"detection", "segmentation"});
  apart.model.separate_towers = true;
  const bevfusion::Network towers = bevfusion::make_network(apart);
  for (const bevfusion::BevFusion& tower : towers->towers()) {
    const auto [common, other] = compared(tower, both);
    CHECK((common == weights_of(tower).size() && other == 0));
  }
  RunConfig blind = with_tasks({"detection", "segmentation"});
  blind.model.parts.camera = false;  // the fuser is narrower, all else is the same
  const auto of_lidar = compared(tower_of(blind), both);
  CHECK((of_lidar.first > all / 2 && of_lidar.second == 0));

  RunConfig reseeded = with_tasks({"detection", "segmentation"});
  reseeded.training.seed += 1;
  CHECK(compared(tower_of(reseeded), both).second > all / 4);  // what starts from 0 and 1 is the same in any
}

TEST_CASE("variants of a seed learn from the same samples, augmented and dropped out alike", "[bevfusion][training][paired]") {
  struct Variant {
    std::string rule, gate, surface;
    std::vector<std::string> tasks;
  };
  const std::vector<Variant> variants{
      {"none", "none", "published", {"detection", "segmentation"}},
      {"uniform", "measure", "published", {"detection", "segmentation"}},
      {"imtl_g", "gradient", "published", {"detection", "segmentation"}},
      {"imtl_g", "update", "representation", {"detection", "segmentation"}},
      {"pcgrad", "none", "all_shared", {"detection", "segmentation"}},
      {"none", "none", "published", {"detection"}},
      {"none", "none", "published", {"segmentation"}},
  };
  std::map<std::string, double> first;
  for (const Variant& variant : variants) {
    INFO(variant.rule << ", gate " << variant.gate << ", " << variant.surface << ", " << variant.tasks.front());
    RunConfig config = with_tasks(variant.tasks);
    config.calibration.rule = variant.rule;
    config.calibration.gate = variant.gate;
    config.calibration.surface = variant.surface;
    config.training.accumulate = 2;  // the losses of a step are means over two batches before anything moves
    check(config);
    const TemporaryFolder folder;
    bevfusion::TrainerOptions options;
    options.out = folder.path();
    options.most_steps = 1;
    bevfusion::Network network = bevfusion::make_network(config);
    torch::rand({3});  // what a program drew before does not matter
    bevfusion::Trainer(config, network, TinyData::get().tables, TinyData::get().training, options).run();
    const nlohmann::json losses = bevfusion::testing::log_lines(folder.path()).at(1).at("losses");
    for (const auto& [task, loss] : losses.items()) {
      const auto known = first.emplace(task, loss.get<double>()).first;
      CHECK(loss.get<double>() == known->second);
    }
  }
  CHECK(first.size() == 2);
}

TEST_CASE("a batch without a sensor leaves its branch and its gate as they are", "[bevfusion][training][paired]") {
  RunConfig config = tiny_config();
  config.calibration.gate = "gradient";
  bevfusion::Network network = bevfusion::make_network(config);
  network->train();
  bevfusion::BevFusion tower = network->towers().front();
  bevfusion::TowerTrainer trainer(tower, config);
  const bevfusion::TrainingData data(TinyData::get().tables, TinyData::get().training, config);
  bevfusion::TrainingBatch batch = data.load(0, 0);
  trainer.backward(batch.batch.input, batch, 1.0);
  const auto whole = *trainer.diagnostics();
  trainer.step(bevfusion::one_cycle(config.training, 0, 10));
  const auto copy_of = [&](std::size_t branch) {
    std::vector<torch::Tensor> copies;
    for (const torch::Tensor& parameter : tower->branch_parameters(branch)) {
      copies.push_back(parameter.detach().clone());
    }
    return copies;
  };
  const auto changed = [&](std::size_t branch, const std::vector<torch::Tensor>& before) {
    const auto now = tower->branch_parameters(branch);
    return std::count_if(now.begin(), now.end(), [&, i = std::size_t{0}](const torch::Tensor& parameter) mutable {
      return !torch::equal(parameter, before[i++]);
    });
  };
  REQUIRE(tower->modalities() == std::vector<std::string>{"lidar", "camera"});
  const std::vector<std::vector<torch::Tensor>> before{copy_of(0), copy_of(1)};
  batch.absent = {"camera"};
  const std::vector<double> losses = trainer.backward(batch.batch.input, batch, 1.0);
  CHECK((losses.size() == 2 && std::isfinite(losses[0]) && std::isfinite(losses[1])));
  const auto seen = *trainer.diagnostics();
  trainer.step(bevfusion::one_cycle(config.training, 1, 10));
  CHECK(changed(0, before[0]) > 0);
  CHECK(changed(1, before[1]) == 0);
  const auto place = [&seen](const char* name) {
    return static_cast<std::size_t>(std::find(seen.modalities.begin(), seen.modalities.end(), name) - seen.modalities.begin());
  };
  CHECK(std::isnan(seen.branch_norms.at(place("camera"))));
  CHECK(seen.branch_norms.at(place("lidar")) > 0);
  CHECK(std::isfinite(whole.branch_norms.at(place("camera"))));
  // The absent branch is zeros to what follows.
  network->eval();
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> zeroed = tower->branches(batch.batch.input);
  zeroed[1] = torch::zeros_like(zeroed[1]);
  CHECK(torch::equal(tower->fuse(tower->filled(tower->branches(batch.batch.input, {"camera"}))), tower->fuse(zeroed)));
  CHECK_THROWS_AS(tower->filled(tower->branches(batch.batch.input, {"camera", "lidar"})), std::invalid_argument);
  CHECK_THROWS_AS(tower->branches(batch.batch.input, {"radar"}), std::invalid_argument);
}

TEST_CASE("rows of the tasks' gradients are logged, and measuring them changes nothing", "[bevfusion][training][paired]") {
  RunConfig config = tiny_config();
  const auto trained = [&config](std::int64_t every, std::vector<nlohmann::json>& lines) {
    config.training.rows_every = every;
    check(config);
    const TemporaryFolder folder;
    bevfusion::TrainerOptions options;
    options.out = folder.path();
    options.most_steps = 4;
    bevfusion::Network network = bevfusion::make_network(config);
    bevfusion::Trainer(config, network, TinyData::get().tables, TinyData::get().training, options).run();
    lines = bevfusion::testing::log_lines(folder.path());
    return network;
  };
  std::vector<nlohmann::json> plain;
  std::vector<nlohmann::json> measured;
  CHECK(bevfusion::testing::equal(trained(0, plain), trained(2, measured)));
  REQUIRE(measured.size() == plain.size() + 2);
  std::vector<nlohmann::json> steps;
  std::map<std::int64_t, nlohmann::json> rows;
  for (const nlohmann::json& line : measured) {
    if (line.at("kind") == "gradient_rows") {
      rows[line.at("step").get<std::int64_t>()] = line.at("rows");
    } else {
      steps.push_back(line);
    }
  }
  CHECK(steps == plain);
  REQUIRE((rows.size() == 2 && rows.count(2) == 1 && rows.count(4) == 1));
  for (const auto& [step, of_step] : rows) {
    for (const char* task : {"detection", "segmentation"}) {
      // The rows' norms make up the norm that the calibration measured there.
      double squares = 0;
      for (const double norm : of_step.at(task).get<std::vector<double>>()) {
        squares += norm * norm;
      }
      const auto& line = plain.at(static_cast<std::size_t>(step));
      REQUIRE(line.at("step") == step);
      CHECK(std::sqrt(squares) == Approx(line.at("norms").at(task).get<double>()).epsilon(1e-4));
    }
  }
}

TEST_CASE("batches lose sensors as often as asked, the same ones in every variant", "[bevfusion][training][paired]") {
  RunConfig config = tiny_config();
  config.training.modality_dropout = 0.5;
  config.training.batch = 1;
  config.loading.lidar = config.loading.cameras = false;  // nothing is to be read
  const bevfusion::TrainingData data(TinyData::get().tables, TinyData::get().training, config);
  std::map<std::string, int> lost;
  const int passes = 12;
  for (std::int64_t epoch = 0; epoch < passes; ++epoch) {
    for (std::size_t k = 0; k < data.batches(); ++k) {
      const auto absent = data.load(epoch, k).absent;
      REQUIRE(absent.size() <= 1);
      ++lost[absent.empty() ? "none" : absent.front()];
    }
  }
  // Of 120 draws: means of 60, 30 and 30, standard deviations of 5.5 and 4.7; four of them.
  CHECK(std::abs(lost["none"] - 60) < 22);
  CHECK(std::abs(lost["lidar"] - 30) < 19);
  CHECK(std::abs(lost["camera"] - 30) < 19);
  config.calibration.rule = "none";
  const bevfusion::TrainingData other(TinyData::get().tables, TinyData::get().training, config);
  for (std::size_t k = 0; k < data.batches(); ++k) {
    CHECK(other.load(1, k).absent == data.load(1, k).absent);
  }
}

TEST_CASE("averages are those of their definitions", "[bevfusion][training][average]") {
  RunConfig config = tiny_config();
  config.training.epochs = 4;
  config.training.average_epochs = 2;
  config.training.average_decay = 0.25;
  bevfusion::Network network = bevfusion::make_network(config);
  torch::Tensor weight = network->parameters().front();
  const auto at = [&](double value) {
    const torch::NoGradGuard no_grad;
    weight.fill_(value);
  };
  const auto value_of = [&](bevfusion::AveragedWeights& average) {
    at(7);
    average.exchange(network);
    const double value = weight.flatten()[0].item<double>();
    average.exchange(network);
    CHECK(weight.flatten()[0].item<double>() == 7);
    return value;
  };
  config.training.average = "ema";
  bevfusion::AveragedWeights ema(config.training);
  CHECK_FALSE(ema.ready());
  for (const double value : {2.0, 4.0, 8.0}) {
    at(value);
    ema.after_step(network);
    ema.after_epoch(network, 3);
  }
  // d = min(0.25, (1 + n) / (10 + n)) = 2/11, 1/4 after one step and two: 2, then 2/11 x 2 + 9/11 x 4, then 1/4 and 3/4.
  CHECK(value_of(ema) == Approx(0.25 * (2.0 / 11 * 2 + 9.0 / 11 * 4) + 0.75 * 8));
  config.training.average = "last";
  bevfusion::AveragedWeights last(config.training);
  for (const double value : {2.0, 4.0, 8.0, 12.0}) {
    at(value);
    last.after_step(network);
    last.after_epoch(network, static_cast<std::int64_t>(value == 12 ? 3 : value == 8 ? 2 : value == 4 ? 1 : 0));
  }
  CHECK(value_of(last) == Approx(10));
}

}  // namespace
