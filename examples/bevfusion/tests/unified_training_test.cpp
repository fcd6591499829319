// SPDX-License-Identifier: Apache-2.0
// Training with the unified decoder: task gradients against autograd's one by one, absent labels, one sample by heart, and runs
// that are stopped, resumed and evaluated.
#include <algorithm>
#include <any>
#include <cmath>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/evaluation/evaluate.hpp"
#include "bevfusion/tests/support/tiny_run.hpp"
#include "bevfusion/training/task_losses.hpp"
#include "bevfusion/training/tower_trainer.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;
using bevfusion::testing::TemporaryFolder;
using bevfusion::testing::tiny_config;
using bevfusion::testing::TinyData;

/// Cameras alone, as in the paper, without dropout, so that two passes agree.
RunConfig unified_config() {
  RunConfig config = tiny_config();
  config.model.detection_head = config.model.segmentation_head = "unified";
  config.model.detection.dropout = 0;
  config.model.parts.lidar = false;
  config.calibration.gate = "none";
  complete(config);
  return config;
}

struct Step {
  explicit Step(const RunConfig& config)
      : network(make_network(config)), tower(network->towers().front()), batch(load(config, network)), input(batch.batch.input) {
    network->to(torch::kDouble);
    input.images = input.images.to(torch::kDouble);
  }
  static TrainingBatch load(const RunConfig& config, const Network& network) {
    return TrainingData(TinyData::get().tables, TinyData::get().training, config, network->tasks()).load(0, 0);
  }
  std::vector<torch::Tensor> losses(const SharedFeatures& shared, const RunConfig& config) {
    return task_losses(tower, labelled_outputs(tower, {shared}, input, batch), batch, config);
  }
  SharedFeatures share() { return tower->share(tower->branches(input)); }

  Network network;
  BevFusion tower;
  TrainingBatch batch;
  ModelInput input;
};

torch::Tensor flat(const std::vector<torch::Tensor>& gradients, const std::vector<torch::Tensor>& like) {
  std::vector<torch::Tensor> parts;
  for (std::size_t k = 0; k < like.size(); ++k) {
    parts.push_back((gradients[k].defined() ? gradients[k] : torch::zeros_like(like[k])).flatten());
  }
  return torch::cat(parts);
}

std::vector<torch::Tensor> gradients_of(const torch::Tensor& loss, const std::vector<torch::Tensor>& by) {
  return torch::autograd::grad({loss}, by, {}, true, false, true);
}

/// What a calibrated backward measured and left, against the tasks' gradients one by one.
/// @param compared  what the gradients are of, task by task
void expect_gradients(const fuller::Diagnostics& seen, const std::vector<torch::Tensor>& compared) {
  const std::size_t tasks = compared.size();
  REQUIRE(seen.norms.size() == tasks);
  for (std::size_t i = 0; i < tasks; ++i) {
    INFO("task " << seen.tasks[i]);
    const double norm = compared[i].norm().item<double>();
    REQUIRE(norm > 0);
    CHECK(seen.norms[i] == Approx(norm).epsilon(1e-8));
    for (std::size_t j = 0; j < i; ++j) {
      const double cosine = compared[i].dot(compared[j]).item<double>() / (norm * compared[j].norm().item<double>());
      CHECK(seen.cosines[i * tasks + j] == Approx(cosine).margin(1e-8));
    }
  }
}

}  // namespace

TEST_CASE("four tasks in one decoder: each gradient is autograd's, and what trains is their weighted sum",
          "[bevfusion][unified]") {
  for (const std::string rule : {"pcgrad", "wpcgrad", "uniform"}) {
    INFO(rule);
    RunConfig config = unified_config();
    config.losses.tasks = "split_detection";
    config.calibration.rule = rule;
    config.calibration.surface = "all_shared";
    check(config);
    Step step(config);
    const std::vector<torch::Tensor> losses = step.losses(step.share(), config);
    REQUIRE(losses.size() == 4);
    const std::vector<torch::Tensor> all = step.tower->parameters();
    std::vector<std::vector<torch::Tensor>> of_tasks;
    for (const torch::Tensor& loss : losses) {
      REQUIRE((std::isfinite(loss.item<double>()) && loss.item<double>() > 0));
      of_tasks.push_back(gradients_of(loss, all));
    }
    // Shared is what two losses or more reach: the trunk, the decoder but its heat map, and no branch of a head.
    std::vector<torch::Tensor> shared;
    std::size_t of_decoder = 0;
    const std::vector<torch::Tensor> known = step.tower->decoder_parameters();
    for (std::size_t k = 0; k < all.size(); ++k) {
      const auto reach = std::count_if(of_tasks.begin(), of_tasks.end(), [k](const auto& own) { return own[k].defined(); });
      REQUIRE(reach > 0);
      if (reach > 1) {
        shared.push_back(all[k]);
        of_decoder += std::any_of(known.begin(), known.end(), [&](const auto& one) { return one.is_same(all[k]); }) ? 1 : 0;
      }
    }
    CHECK(of_decoder == known.size());
    std::vector<torch::Tensor> compared;
    for (const torch::Tensor& loss : losses) {
      compared.push_back(flat(gradients_of(loss, shared), shared));
    }
    TowerTrainer trainer(step.tower, config);
    trainer.backward(step.input, step.batch, 1);
    const fuller::Diagnostics seen = trainer.diagnostics().value();
    CHECK(seen.tasks == std::vector<std::string>{"box", "classification", "velocity", "segmentation"});
    CHECK(seen.shared.size() == shared.size());
    expect_gradients(seen, compared);
    torch::Tensor expected = torch::zeros_like(compared.front());
    double terms = 0;
    for (std::size_t i = 0; i < compared.size(); ++i) {
      expected += seen.weights[i] * compared[i];
      terms += std::abs(seen.weights[i]) * compared[i].norm().item<double>();
    }
    std::vector<torch::Tensor> arrived;
    for (const torch::Tensor& parameter : shared) {
      arrived.push_back(parameter.grad());
    }
    // Losses are reckoned in single precision, and these passes begin with the weights: 2^-24 of each task's, by a few roundings.
    CHECK((flat(arrived, shared) - expected).norm().item<double>() < std::ldexp(terms, -22));
  }
}

TEST_CASE("boxes and map in one decoder, at every surface", "[bevfusion][unified]") {
  for (const std::string surface : {"last_shared", "representation", "all_shared"}) {
    INFO(surface);
    RunConfig config = unified_config();
    config.calibration.rule = "imtl_g";
    config.calibration.surface = surface;
    config.calibration.apply_to = "all";
    check(config);
    Step step(config);
    const SharedFeatures z = step.share();
    const std::vector<torch::Tensor> losses = step.losses(z, config);
    REQUIRE(losses.size() == 2);
    std::vector<torch::Tensor> trunk;  // everything upstream of the fork
    for (const auto& child : step.tower->named_children()) {
      if (child.key() != "detection" && child.key() != "segmentation") {
        const std::vector<torch::Tensor> own = child.value()->parameters();
        trunk.insert(trunk.end(), own.begin(), own.end());
      }
    }
    std::vector<torch::Tensor> compared;
    std::vector<torch::Tensor> of_trunk;
    for (std::size_t i = 0; i < 2; ++i) {
      of_trunk.push_back(flat(gradients_of(losses[i], trunk), trunk));
    }
    if (surface == "last_shared") {
      const std::vector<torch::Tensor> layers = step.tower->last_shared(false);
      const auto parameters = step.tower->named_parameters();
      REQUIRE(layers.size() == 2);
      CHECK(layers[0].is_same(parameters["decoder.layer1.narrow.weight"]));
      CHECK(layers[1].is_same(parameters["decoder.project.weight"]));
      compared = {flat(gradients_of(losses[0], layers), layers), flat(gradients_of(losses[1], layers), layers)};
    } else if (surface == "all_shared") {
      compared = of_trunk;
    } else {
      const DecodedQueries& queries = z.queries;
      const std::vector<torch::Tensor> of_boxes = {queries.heat_map, queries.objects};
      const torch::Tensor boxes = flat(gradients_of(losses[0], of_boxes), of_boxes);
      const torch::Tensor masks = flat(gradients_of(losses[1], {queries.patches}), {queries.patches});
      compared = {torch::cat({boxes, torch::zeros_like(masks)}), torch::cat({torch::zeros_like(boxes), masks})};
    }
    TowerTrainer trainer(step.tower, config);
    trainer.backward(step.input, step.batch, 1);
    const fuller::Diagnostics seen = trainer.diagnostics().value();
    expect_gradients(seen, compared);
    const double n0 = compared[0].norm().item<double>();
    const double n1 = compared[1].norm().item<double>();
    CHECK(seen.weights[0] == Approx(n1 / (n0 + n1)).epsilon(1e-8));  // IMTL-G of two: equal projections
    const torch::Tensor expected = (n1 * of_trunk[0] + n0 * of_trunk[1]) / (n0 + n1);
    std::vector<torch::Tensor> arrived;
    for (const torch::Tensor& parameter : trunk) {
      arrived.push_back(parameter.grad());
    }
    CHECK((flat(arrived, trunk) - expected).norm().item<double>() < 1e-8 * expected.norm().item<double>());
  }
}

TEST_CASE("a batch without labels of one task trains the other alone", "[bevfusion][unified]") {
  RunConfig config = unified_config();
  config.losses.tasks = "split_detection";
  config.calibration.rule = "pcgrad";
  config.calibration.surface = "all_shared";
  Step step(config);
  const auto all = step.losses(step.share(), config);
  const TrainingBatch whole = step.batch;
  step.batch.boxes_labelled = {false, false};
  auto some = step.losses(step.share(), config);
  CHECK((!some[0].defined() && !some[1].defined() && !some[2].defined()));
  CHECK(some[3].item<double>() == Approx(all[3].item<double>()));
  {
    TowerTrainer trainer(step.tower, config);
    const std::vector<double> values = trainer.backward(step.input, step.batch, 1);
    CHECK((std::isnan(values[0]) && values[3] == Approx(all[3].item<double>())));
    for (const auto& parameter : step.tower->head("detection").parameters()) {
      CHECK_FALSE(parameter.grad().defined());
    }
    CHECK(step.tower->named_parameters()["decoder.patch_query"].grad().abs().max().item<double>() > 0);
    step.tower->zero_grad();
  }
  step.batch = whole;
  step.batch.batch.labelled = torch::zeros_like(whole.batch.labelled);
  some = step.losses(step.share(), config);
  CHECK_FALSE(some[3].defined());
  CHECK(some[1].item<double>() == Approx(all[1].item<double>()));
  // Boxes that are labels of one sample alone, and a sample without any: finite, and no gradient that is not.
  step.batch = whole;
  step.batch.boxes_labelled = {true, false};
  step.batch.batch.boxes[0].clear();
  TowerTrainer trainer(step.tower, config);
  const std::vector<double> values = trainer.backward(step.input, step.batch, 1);
  CHECK(values[0] == 0);
  CHECK(values[2] == 0);
  CHECK((std::isfinite(values[1]) && values[1] > 0));
  for (const torch::Tensor& parameter : step.tower->parameters()) {
    CHECK((!parameter.grad().defined() || torch::isfinite(parameter.grad()).all().item<bool>()));
  }
}

TEST_CASE("one sample is learnt by heart, boxes and map", "[bevfusion][unified]") {
  RunConfig config = unified_config();
  config.loading.augment = false;
  config.calibration.rule = "imtl_g";
  config.training.batch = 1;
  check(config);
  Network network = make_network(config);
  BevFusion tower = network->towers().front();
  const TrainingBatch batch = Step::load(config, network);
  TowerTrainer trainer(tower, config);
  network->train();
  ScheduledStep schedule;
  schedule.beta1 = 0.9;
  std::vector<double> first;
  std::vector<double> last;
  constexpr int steps = 200;
  for (int k = 0; k < steps; ++k) {
    schedule.learning_rate = 3e-3 * (1 - static_cast<double>(k) / steps);
    last = trainer.backward(batch.batch.input, batch, 1);
    first = first.empty() ? last : first;
    CHECK(trainer.step(schedule).taken);
  }
  INFO(first[0] << " " << first[1]);
  INFO(last[0] << " " << last[1]);
  CHECK(last[0] < 0.1 * first[0]);
  CHECK(last[1] < 0.15 * first[1]);
  const torch::NoGradGuard no_grad;
  const auto overlap = [&] {
    const auto said = std::any_cast<torch::Tensor>(network->forward(batch.batch.input).at("segmentation"));
    const torch::Tensor drawn = said.sigmoid().ge(0.5);
    const torch::Tensor truth = batch.batch.masks.ge(0.5);
    return drawn.logical_and(truth).sum().item<double>() / drawn.logical_or(truth).sum().item<double>();
  };
  const double as_trained = overlap();
  network->eval();
  const double evaluated = overlap();
  const double constant = batch.batch.masks.mean().item<double>();  // every cell of every mask painted
  INFO(as_trained << " " << evaluated << " " << constant);
  CHECK(as_trained > 3 * constant);
  CHECK(evaluated > 2 * constant);
}

TEST_CASE("a unified run with both sensors is gated, stopped, resumed, evaluated and read again", "[bevfusion][unified]") {
  RunConfig config = tiny_config();
  config.model.detection_head = config.model.segmentation_head = "unified";
  config.training.modality_dropout = 0.4;
  config.data.labels = "disjoint_balance";
  check(config);
  REQUIRE(config.calibration.gate != "none");
  const auto run = [&config](const TemporaryFolder& folder, bool resume, std::int64_t most_steps) {
    TrainerOptions options;
    options.out = folder.path();
    options.resume = resume;
    options.most_steps = most_steps;
    options.evaluate = [&config](Network& of) {
      return evaluate(of, TinyData::get().tables, TinyData::get().validation, config);
    };
    Network network = make_network(config);
    return Trainer(config, network, TinyData::get().tables, TinyData::get().training, options).run().finished;
  };
  const TemporaryFolder whole;
  CHECK(run(whole, false, -1));
  const TemporaryFolder parted;
  CHECK_FALSE(run(parted, false, 3));
  CHECK(run(parted, true, -1));
  Network network = bevfusion::testing::network_in(whole.path(), config);
  CHECK(bevfusion::testing::equal(bevfusion::testing::network_in(parted.path(), config), network));
  const auto lines = bevfusion::testing::log_lines(whole.path());
  CHECK(bevfusion::testing::log_lines(parted.path()) == lines);
  CHECK(lines.back().at("kind") == "evaluation");
  CHECK(std::isfinite(lines.back().at("mIoU").get<double>()));
  CHECK(network->named_parameters().contains("model.decoder.patch_query"));
}
