// SPDX-License-Identifier: Apache-2.0
// CenterPoint's head in a run: samples without labels, losses in parts, stopped and resumed, evaluated; what is refused.
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/config/config_file.hpp"
#include "bevfusion/distillation/expert.hpp"
#include "bevfusion/tasks/detection_figures.hpp"
#include "bevfusion/tests/support/refusal.hpp"
#include "bevfusion/tests/support/tiny_run.hpp"
#include "bevfusion/training/task_losses.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;
using bevfusion::testing::has;
using bevfusion::testing::TemporaryFolder;
using bevfusion::testing::TinyData;

RunConfig centerpoint_config() {
  RunConfig config = bevfusion::testing::tiny_config();
  config.model.detection_head = "centerpoint";
  complete(config);
  check(config);
  return config;
}

TrainingBatch batch_of(const RunConfig& config, std::size_t number = 0) {
  return TrainingData(TinyData::get().tables, TinyData::get().training, config).load(1, number);
}

TEST_CASE("samples without boxes as labels enter no loss", "[bevfusion][training]") {
  const RunConfig config = centerpoint_config();
  const Network network = make_network(config);
  BevFusion tower = network->towers().front();
  TrainingBatch batch = batch_of(config);
  REQUIRE(batch.batch.boxes.size() == 2);
  const torch::Tensor map = torch::randn({2, tower->shared_channels(), 64, 64}).requires_grad_();
  const auto loss_of = [&](std::vector<bool> labelled) {
    batch.boxes_labelled = std::move(labelled);
    return tower->losses("detection", tower->say("detection", {map, {}}), batch, config).at(0);
  };
  const double first = loss_of({true, false}).item<double>();
  CHECK(first > 0);
  batch.batch.boxes[1].clear();
  CHECK(loss_of({true, false}).item<double>() == first);
  CHECK(loss_of({true, true}).item<double>() != first);
  torch::Tensor loss = loss_of({true, false});
  loss.backward();
  CHECK(torch::isfinite(map.grad()).all().item<bool>());
  CHECK(map.grad()[0].abs().max().item<double>() > 0);

  for (torch::Tensor& parameter : tower->parameters()) {
    parameter.mutable_grad() = torch::Tensor();
  }
  loss = loss_of({false, false});
  CHECK(loss.item<double>() == 0);
  loss.backward();
  std::size_t with_gradient = 0;
  for (const torch::Tensor& parameter : tower->head("detection").parameters()) {
    with_gradient += parameter.grad().defined() ? 1 : 0;
    CHECK((!parameter.grad().defined() || parameter.grad().abs().max().item<double>() == 0));
  }
  CHECK(with_gradient > 0);
}

TEST_CASE("the loss in parts adds up to the whole", "[bevfusion][training]") {
  RunConfig config = centerpoint_config();
  const Network network = make_network(config);
  BevFusion tower = network->towers().front();
  const TrainingBatch batch = batch_of(config);
  const std::any said = tower->say("detection", {torch::randn({2, tower->shared_channels(), 64, 64}), {}});
  const double whole = tower->losses("detection", said, batch, config).at(0).item<double>();
  config.losses.tasks = "split_detection";
  double sum = 0;
  for (const torch::Tensor& part : tower->losses("detection", said, batch, config)) {
    CHECK(part.item<double>() > 0);
    sum += part.item<double>();
  }
  CHECK(sum == Approx(whole).epsilon(1e-5));
}

TrainingOutcome run(const RunConfig& config, const std::filesystem::path& folder, bool resume, std::int64_t most_steps) {
  TrainerOptions options;
  options.out = folder;
  options.resume = resume;
  options.most_steps = most_steps;
  Network network = make_network(config);
  return Trainer(config, network, TinyData::get().tables, TinyData::get().training, options).run();
}

TEST_CASE("calibrated with gates: resumed bit for bit, and evaluated", "[bevfusion][training][resume]") {
  RunConfig config = centerpoint_config();
  config.training.evaluate_every = 0;
  const TemporaryFolder whole;
  CHECK(run(config, whole.path(), false, -1).finished);
  Network expected = bevfusion::testing::network_in(whole.path(), config);
  const TemporaryFolder parted;
  CHECK_FALSE(run(config, parted.path(), false, 3).finished);
  torch::manual_seed(12345);
  CHECK(run(config, parted.path(), true, -1).finished);
  CHECK(bevfusion::testing::equal(bevfusion::testing::network_in(parted.path(), config), expected));
  CHECK(bevfusion::testing::log_lines(parted.path()) == bevfusion::testing::log_lines(whole.path()));

  const EvaluationFigures figures = evaluate(expected, TinyData::get().tables, TinyData::get().validation, config);
  CHECK(figures.not_finite == 0);
  const DetectionSummary& summary = figures.of<DetectionFigures>("detection")->summary();
  CHECK((summary.mean_ap >= 0 && summary.mean_ap <= 1));
}

TEST_CASE("box, class and velocity as tasks of wPCGrad; towers; bfloat16", "[bevfusion][training]") {
  struct Case {
    const char* name;
    std::function<void(RunConfig&)> change;
  };
  const std::vector<Case> cases = {{"four tasks",
                                    [](RunConfig& c) {
                                      c.losses.tasks = "split_detection";
                                      c.calibration.rule = "wpcgrad";
                                      c.calibration.gate = "none";
                                    }},
                                   {"towers",
                                    [](RunConfig& c) {
                                      c.model.separate_towers = true;
                                      c.calibration.rule = "none";
                                      c.calibration.gate = "none";
                                    }},
                                   {"bfloat16", [](RunConfig& c) { c.training.precision = "bfloat16"; }}};
  for (const Case& one : cases) {
    INFO(one.name);
    RunConfig config = centerpoint_config();
    one.change(config);
    complete(config);
    check(config);
    const TemporaryFolder folder;
    const TrainingOutcome outcome = run(config, folder.path(), false, 2);
    CHECK(outcome.steps == 2);
    CHECK(outcome.skipped == 0);
  }
}

TEST_CASE("what CenterPoint's head does not read is refused", "[bevfusion][config]") {
  const auto verdict = [](const char* size, const std::function<void(RunConfig&)>& change) {
    RunConfig config = run_of_size(size);
    config.model.detection_head = "centerpoint";
    change(config);
    return bevfusion::testing::refusal<std::invalid_argument>([&] { check(config); });
  };
  for (const char* size : {"tiny", "small", "full"}) {
    CHECK(verdict(size, [](RunConfig&) {}).empty());
  }
  CHECK(verdict("tiny", [](RunConfig& c) { c.model.numbers = "centerpoint.least_score=0"; }).empty());
  CHECK(verdict("tiny", [](RunConfig& c) { c.model.detection.channels = full_model().detection.channels; }).empty());
  CHECK(
      has(verdict("tiny", [](RunConfig& c) { c.model.detection.queries = 7; }), "model.detection.queries is set, and only read"));
  CHECK(has(verdict("tiny", [](RunConfig& c) { c.losses.detection.matching.iou = 1; }), "losses.detection.matching.iou"));
  CHECK(has(verdict("tiny", [](RunConfig& c) { c.losses.detection.smooth_l1_beta = 0; }), "losses.detection.smooth_l1_beta"));
  CHECK(has(verdict("tiny", [](RunConfig& c) { c.model.point_classes = ""; }), "model.point_classes"));
  CHECK(has(verdict("tiny", [](RunConfig& c) { c.distillation.twins = "detection"; }), "distillation.response is 1"));
  CHECK(verdict("tiny", [](RunConfig& c) {
          c.distillation.twins = "detection";
          c.distillation.response = 0;
        }).empty());
  CHECK(verdict("tiny", [](RunConfig& c) { c.distillation.twins = "segmentation"; }).empty());

  RunConfig of_teacher = centerpoint_config();
  of_teacher.model.parts.tasks.keep_only("detection");
  of_teacher.calibration.rule = of_teacher.calibration.gate = "none";
  complete(of_teacher);
  check(of_teacher);
  const TemporaryFolder folder;
  write_config(of_teacher, folder.path() / "config.toml");
  save_checkpoint(folder.path() / "checkpoint.pt", make_network(of_teacher), {}, {}, torch::kCPU);
  RunConfig taught = bevfusion::testing::tiny_config();
  taught.distillation.teachers = "detection=" + folder.path().string();
  const auto load = [&] { load_experts(taught); };
  CHECK(has(bevfusion::testing::refusal<std::invalid_argument>(load), "has no queries whose boxes could be matched"));
  taught.distillation.response = 0;
  CHECK(bevfusion::testing::refusal<std::invalid_argument>(load).empty());
}

}  // namespace
