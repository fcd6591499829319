// SPDX-License-Identifier: Apache-2.0
// Runs with BEVFusion's dense map head: its loss by hand, one sample by heart, stopped and resumed, without labels, taught,
// without sensors.
#include <any>
#include <cmath>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/config/config_file.hpp"
#include "bevfusion/config/teacher_list.hpp"
#include "bevfusion/evaluation/evaluate.hpp"
#include "bevfusion/evaluation/predict.hpp"
#include "bevfusion/model/autocast.hpp"
#include "bevfusion/tasks/mask_figures.hpp"
#include "bevfusion/tests/support/random_input.hpp"
#include "bevfusion/tests/support/refusal.hpp"
#include "bevfusion/tests/support/tiny_run.hpp"
#include "bevfusion/training/tower_trainer.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;
using bevfusion::testing::has;
using bevfusion::testing::log_lines;
using bevfusion::testing::network_in;
using bevfusion::testing::refusal;
using bevfusion::testing::TemporaryFolder;
using bevfusion::testing::tiny_config;
using bevfusion::testing::TinyData;

RunConfig dense_config() {
  RunConfig config = tiny_config();
  config.model.segmentation_head = "dense_map";
  config.losses.segmentation_focal.alpha = -1;
  check(config);
  return config;
}

RunConfig map_alone() {
  RunConfig config = dense_config();
  config.model.parts.tasks.keep_only("segmentation");
  config.calibration.rule = config.calibration.gate = "none";
  complete(config);
  check(config);
  return config;
}

TEST_CASE("the loss of dense masks is the unbalanced focal loss of labelled ones, by hand", "[bevfusion][dense_map]") {
  const RunConfig config = dense_config();
  const BevFusion tower = make_network(config)->towers().front();
  TrainingBatch batch = TrainingData(TinyData::get().tables, TinyData::get().training, config).load(0, 0);
  batch.batch.labelled.fill_(true);
  batch.batch.labelled[1][2] = false;
  const std::int64_t masks = batch.batch.masks.size(1);
  torch::manual_seed(3);
  const torch::Tensor logits = torch::randn({2, masks, 50, 50}).mul_(2).requires_grad_();
  const std::vector<torch::Tensor> losses = tower->losses("segmentation", logits, batch, config);
  REQUIRE(losses.size() == 1);
  double sum = 0;
  double cells = 0;
  for (std::int64_t b = 0; b < 2; ++b) {
    for (std::int64_t m = 0; m < masks; ++m) {
      const bool known = !(b == 1 && m == 2);
      for (std::int64_t i = 0; known && i < 2500; ++i) {
        const double p = 1 / (1 + std::exp(-static_cast<double>(logits[b][m].flatten()[i].item<float>())));
        const double right = batch.batch.masks[b][m].flatten()[i].item<float>() > 0 ? p : 1 - p;
        sum += -(1 - right) * (1 - right) * std::log(right);
        cells += 1;
      }
    }
  }
  CHECK(losses[0].item<double>() == Approx(sum / cells).epsilon(1e-5));
  losses[0].backward();
  CHECK(logits.grad()[1][2].abs().max().item<double>() == 0);
  CHECK(logits.grad()[0][2].abs().min().item<double>() > 0);
  batch.batch.labelled.fill_(false);
  CHECK_FALSE(tower->losses("segmentation", logits, batch, config).front().defined());
}

TrainingOutcome train(const RunConfig& config, const std::filesystem::path& folder, const std::vector<RowIndex>& samples,
                      std::int64_t most_steps = -1, bool resume = false) {
  std::filesystem::create_directories(folder);
  TrainerOptions options;
  options.out = folder;
  options.most_steps = most_steps;
  options.resume = resume;
  return Trainer(config, make_network(config), TinyData::get().tables, samples, options).run();
}

TEST_CASE("the dense map head learns one sample by heart", "[bevfusion][dense_map]") {
  RunConfig config = map_alone();
  config.loading.augment = false;
  config.loading.shuffle_points = false;
  config.training.batch = 1;
  config.training.epochs = 150;
  config.training.learning_rate = 1e-2;
  config.training.checkpoint_every = 1000;
  config.training.evaluate_every = 0;
  const TemporaryFolder folder;
  const std::vector<RowIndex> one = {TinyData::get().training.front()};
  REQUIRE(train(config, folder.path(), one).finished);
  Network network = network_in(folder.path(), config);
  const EvaluationFigures after = evaluate(network, TinyData::get().tables, one, config);
  const auto* const figures = after.of<MaskFigures>("segmentation");
  REQUIRE(figures != nullptr);
  int seen = 0;
  double sum = 0;
  for (std::size_t c = 0; c < figures->protocol().classes(); ++c) {
    const CellCounts counts = figures->protocol().counts(c, 0);
    INFO(figures->names()[c]);
    if (counts.true_positives + counts.false_negatives > 0) {
      ++seen;
      sum += figures->protocol().class_iou(c).best;
      CHECK(figures->protocol().class_iou(c).best > 0.4);
    }
  }
  CHECK(seen >= 3);
  CHECK(sum > 0.75 * seen);
}

TEST_CASE("a calibrated run with the dense map head goes on where it was stopped", "[bevfusion][dense_map]") {
  RunConfig config = dense_config();
  config.training.epochs = 1;
  config.data.labels = "disjoint_balance";  // so that batches without map labels are among them
  config.data.one_task_batches = true;
  check(config);
  const TemporaryFolder whole;
  const TemporaryFolder parted;
  REQUIRE(train(config, whole.path(), TinyData::get().training).finished);
  CHECK_FALSE(train(config, parted.path(), TinyData::get().training, 2).finished);
  CHECK(train(config, parted.path(), TinyData::get().training, -1, true).finished);
  CHECK(bevfusion::testing::equal(network_in(whole.path(), config), network_in(parted.path(), config)));
  const auto lines = log_lines(whole.path());
  CHECK(lines == log_lines(parted.path()));
  int with = 0;
  int without = 0;
  for (const auto& line : lines) {
    if (line.at("kind") == "step") {
      (line.at("losses").contains("segmentation") ? with : without) += 1;
    }
  }
  CHECK(with > 0);
  CHECK(without > 0);
}

TEST_CASE("a batch without map labels leaves the dense map head as it is, running means too", "[bevfusion][dense_map]") {
  const RunConfig config = dense_config();
  Network network = make_network(config);
  network->train();
  BevFusion tower = network->towers().front();
  const auto state = [&] {
    std::vector<torch::Tensor> all;
    for (const torch::Tensor& one : tower->head("segmentation").parameters()) {
      all.push_back(one.detach().clone());
    }
    for (const torch::Tensor& one : tower->head("segmentation").buffers()) {
      all.push_back(one.clone());
    }
    return all;
  };
  TrainingBatch batch = TrainingData(TinyData::get().tables, TinyData::get().training, config).load(0, 0);
  TowerTrainer trainer(tower, config);
  const auto moved = [&] {
    const std::vector<torch::Tensor> before = state();
    const std::vector<double> losses = trainer.backward(batch.batch.input, batch, 1.0);
    trainer.step({1e-3, 0.9});
    CHECK(std::isnan(losses.at(1)) != batch.batch.labelled.any().item<bool>());
    const std::vector<torch::Tensor> after = state();
    int changed = 0;
    for (std::size_t i = 0; i < before.size(); ++i) {
      changed += torch::equal(before[i], after[i]) ? 0 : 1;
    }
    return changed;
  };
  CHECK(moved() == 8 + 6);  // weights and biases; of each norm mean, variance and count
  CHECK(trainer.diagnostics()->gamma_task_weighted == Approx(1.0).epsilon(1e-4));  // IMTL-G of two tasks
  batch.batch.labelled.fill_(false);
  CHECK(moved() == 0);
}

TEST_CASE("masks of objects, towers, separate backbones, bfloat16: the dense map head takes part", "[bevfusion][dense_map]") {
  for (const char* kind : {"shared", "towers", "separate_bev"}) {
    CAPTURE(kind);
    RunConfig config = dense_config();
    config.model.parts.tasks["foreground"] = true;
    config.model.separate_towers = std::string(kind) == "towers";
    config.model.separate_bev = std::string(kind) == "separate_bev";
    Network network(config.model);
    network->eval();
    const torch::NoGradGuard no_grad;
    const Autocast autocast(torch::kCPU, std::string(kind) == "shared" ? "bfloat16" : "float32");
    const Outputs said = network->forward(bevfusion::testing::random_input(config.model, 2));
    for (const auto& [task, masks] : {std::pair("segmentation", 6), std::pair("foreground", 3)}) {
      const torch::Tensor logits = std::any_cast<torch::Tensor>(said.at(task));
      CHECK(logits.sizes() == at::IntArrayRef({2, masks, 50, 50}));
      CHECK(torch::isfinite(logits).all().item<bool>());
    }
  }
}

TEST_CASE("a head of either kind teaches masks to the dense map head, which then does without a sensor",
          "[bevfusion][dense_map]") {
  const TemporaryFolder folder;
  for (const char* kind : {"fuller_seg", "dense_map"}) {
    CAPTURE(kind);
    RunConfig expert = map_alone();
    expert.model.segmentation_head = kind;
    expert.training.seed = 17;
    const std::filesystem::path there = folder.path() / kind;
    std::filesystem::create_directories(there);
    write_config(expert, there / "config.toml");
    save_checkpoint(there / "checkpoint.pt", make_network(expert), {}, {}, torch::kCPU);

    RunConfig config = map_alone();
    config.distillation.teachers = teacher_list({{"segmentation", there.string()}});
    check(config);
    const std::filesystem::path taught = folder.path() / (std::string(kind) + "-taught");
    train(config, taught, TinyData::get().training, 2);
    const auto lines = log_lines(taught);
    REQUIRE(lines.size() == 3);
    CHECK(lines[2].at("taught").at("segmentation").get<double>() > 0);

    Network network = network_in(taught, config);
    for (const std::vector<std::string>& lost : {std::vector<std::string>{}, {"camera"}, {"lidar"}}) {
      SensorFailure failure;
      failure.modalities = lost;
      int samples = 0;
      predict(
          network, TinyData::get().tables, {TinyData::get().validation.front()}, config,
          [&](const SamplePrediction& one) {
            const auto* const said = one.of<MaskPrediction>("segmentation");
            REQUIRE(said != nullptr);
            CHECK(said->probability.sizes() == at::IntArrayRef({6, 50, 50}));
            CHECK((said->probability.ge(0).all().item<bool>() && said->probability.le(1).all().item<bool>()));
            ++samples;
          },
          failure);
      CHECK(samples == 1);
    }
  }
}

TEST_CASE("the dense map head is chosen by name, and refused what Fuller-seg is refused", "[bevfusion][dense_map]") {
  RunConfig config = dense_config();
  config.model.foreground_masks = 2;
  config.model.parts.tasks["foreground"] = true;
  CHECK(has(refusal<std::invalid_argument>([&] { check(config); }), "model.foreground_masks is 2; it may be 1, 3 or 10"));
  config = dense_config();
  config.model.segmentation_head = "dense_maps";
  CHECK(has(refusal<std::invalid_argument>([&] { check(config); }),
            "model.segmentation_head is 'dense_maps'; there are: dense_map, fuller_seg"));
}

}  // namespace
