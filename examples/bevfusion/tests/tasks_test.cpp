// SPDX-License-Identifier: Apache-2.0
// A task that the program does not know, with a head, labels, losses and a figure of another kind than the others': from the
// config to training, checkpoint and figures.
#include <algorithm>
#include <any>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/config/calibration_choice.hpp"
#include "bevfusion/config/config_fields.hpp"
#include "bevfusion/config/config_file.hpp"
#include "bevfusion/evaluation/evaluate.hpp"
#include "bevfusion/evaluation/figures_json.hpp"
#include "bevfusion/evaluation/figures_table.hpp"
#include "bevfusion/evaluation/predict.hpp"
#include "bevfusion/tests/support/tiny_run.hpp"
#include "bevfusion/training/task_losses.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;
using bevfusion::testing::tiny_config;
using bevfusion::testing::TinyData;

/// How many boxes a sample has, and whether any: numbers of a scene, not maps.
TaskSheet crowd_sheet() {
  TaskSheet sheet;
  sheet.name = "crowd";
  sheet.called = "counting";
  sheet.help = "Task: how many boxes there are";
  sheet.weight_help = "Static weight of both losses";
  sheet.numbers = {{"unit", 10, 1, 1000, "Boxes that are 1"}};
  sheet.figures = {{"count_error", "count error", /*lower_is_better=*/true}};
  sheet.losses = {"count", "any"};
  return sheet;
}

class CrowdFigures : public TaskFigures {
 public:
  void add(const SamplePrediction& prediction) override {
    errors_.push_back(std::abs(*prediction.of<double>("crowd") - static_cast<double>(prediction.truth.size())));
  }
  void finish() override {
    for (const double error : errors_) {
      mean_ += error / static_cast<double>(errors_.size());
    }
  }
  std::vector<std::pair<std::string, double>> headline() const override { return {{"count_error", mean_}}; }
  void add_details(nlohmann::ordered_json& out) const override { out["crowd"] = {{"errors", errors_}}; }
  std::string text() const override { return "count error " + std::to_string(mean_) + "\n"; }
  std::string remark() const override { return " (boxes)"; }

  double mean() const { return mean_; }

 private:
  std::vector<double> errors_;
  double mean_ = 0;
};

class CrowdTask : public Task {
 public:
  /// @param blind  samples of an odd row have no label
  explicit CrowdTask(bool blind = false) : Task(crowd_sheet()), blind_(blind) {}

  std::shared_ptr<torch::nn::Module> make_head(const ModelConfig&, const Kinds&, std::int64_t channels) const override {
    return std::make_shared<torch::nn::LinearImpl>(channels, 2);
  }
  std::any forward(torch::nn::Module& head, const torch::Tensor& shared, const ModelConfig&, const LabelSets&) const override {
    return head_as<torch::nn::LinearImpl>(head).forward(shared.mean({2, 3}));
  }
  torch::Tensor labels(const LabelSource& of) const override {
    const auto boxes = static_cast<double>(of.sample.boxes.size());
    return blind_ && of.row % 2 == 1 ? torch::Tensor() : torch::tensor({boxes, boxes > 0 ? 1.0 : 0.0}, torch::kFloat);
  }
  std::vector<torch::Tensor> losses(torch::nn::Module&, const std::any& said, const TrainingBatch& batch,
                                    const RunConfig& config) const override {
    const auto& all = std::any_cast<const torch::Tensor&>(said);
    const double unit = config.model.parts.tasks.number("crowd", "unit");
    torch::Tensor count = torch::zeros({});
    torch::Tensor any = torch::zeros({});
    const std::vector<torch::Tensor>& labels = batch.batch.labels.at(name());
    for (std::size_t b = 0; b < labels.size(); ++b) {
      if (labels[b].defined()) {
        const torch::Tensor one = all[static_cast<std::int64_t>(b)];
        count = count + (one[0] - labels[b][0] / unit).abs();
        any = any + torch::binary_cross_entropy_with_logits(one[1], labels[b][1]);
      }
    }
    return {count, any};
  }
  std::any prediction(const std::any& said, std::int64_t b, const Batch&, const RunConfig& config, bool& finite) const override {
    const double value = std::any_cast<const torch::Tensor&>(said)[b][0].item<double>();
    finite = finite && std::isfinite(value);
    return value * config.model.parts.tasks.number("crowd", "unit");
  }
  std::unique_ptr<TaskFigures> figures(const Tables&, const RunConfig&) const override {
    return std::make_unique<CrowdFigures>();
  }

 private:
  bool blind_;
};

Kinds with_crowd(bool blind = false) {
  Kinds with = kinds();
  with.tasks.add(std::make_shared<CrowdTask>(blind));
  return with;
}

RunConfig crowd_config() {
  RunConfig config = tiny_config();
  config.model.parts.tasks.add(crowd_sheet(), true);
  config.calibration.surface = "all_shared";  // two losses are of one head
  return config;
}

}  // namespace

TEST_CASE("a task's fields are a config's, and its losses the calibration's tasks", "[bevfusion][tasks]") {
  RunConfig config = crowd_config();
  check(config, with_crowd());
  CHECK_THROWS_AS(check(config), std::invalid_argument);  // the program itself has no such task
  CHECK(task_names(config) == std::vector<std::string>{"detection", "segmentation", "count", "any"});
  const auto value = [&config](const std::string& name) -> FieldValue {
    for (const ConfigField& field : fields_of(config)) {
      if (field.name == name) {
        return field.value;
      }
    }
    throw std::out_of_range(name);
  };
  // Fields that only one side has do not shift those that both have.
  const std::vector<std::string> crowds{"model.parts.crowd", "losses.crowd_weight", "tasks.crowd.unit", "calibration.surface"};
  CHECK_THAT(differences(tiny_config(), config), Catch::UnorderedEquals(crowds));
  CHECK_THAT(differences(config, tiny_config()), Catch::UnorderedEquals(crowds));
  *std::get<double*>(value("losses.crowd_weight")) = 3;
  CHECK(task_weights(config) == std::vector<double>{1, 1, 3, 3});
  CHECK(*std::get<double*>(value("tasks.crowd.unit")) == 10);
  *std::get<double*>(value("tasks.crowd.unit")) = 5;
  CHECK(config.model.parts.tasks.number("crowd", "unit") == 5);
  *std::get<double*>(value("tasks.crowd.unit")) = 0;
  CHECK_THROWS_AS(check(config, with_crowd()), std::invalid_argument);
  *std::get<bool*>(value("model.parts.crowd")) = false;
  CHECK(task_names(config) == std::vector<std::string>{"detection", "segmentation"});
  config = crowd_config();
  config.calibration.surface = "last_shared";  // where the two losses of one head are one
  CHECK_THROWS_AS(check(config, with_crowd()), std::invalid_argument);
  CHECK_THROWS_AS(config.model.parts.tasks.add(crowd_sheet(), true), std::logic_error);
  CHECK_THROWS_AS(config.model.parts.tasks.number("crowd", "units"), std::invalid_argument);
  CHECK_THROWS_AS(config.model.parts.tasks["crowds"], std::invalid_argument);
  // What only splits another's losses is no task to be switched on.
  CHECK_THROWS_AS(config.model.parts.tasks["split_detection"], std::invalid_argument);
}

TEST_CASE("a task's own labels reach its losses, sample by sample", "[bevfusion][tasks]") {
  const RunConfig config = crowd_config();
  const Kinds with = with_crowd(/*blind=*/true);
  Network network = make_network(config, with);
  network->eval();
  BevFusion tower = network->towers().front();
  const TrainingData data(TinyData::get().tables, TinyData::get().training, config, network->tasks());
  bool seen = false;
  for (std::size_t k = 0; k < data.batches(); ++k) {
    TrainingBatch batch = data.load(0, k);
    const auto found = batch.batch.labels.find("crowd");
    const torch::Tensor z = tower->fuse(tower->branches(batch.batch.input));
    const Outputs said = labelled_outputs(tower, {z}, batch);
    const std::vector<torch::Tensor> losses = task_losses(tower, said, batch, config);
    REQUIRE(losses.size() == 4);
    if (found == batch.batch.labels.end()) {  // two samples of odd rows
      CHECK(said.count("crowd") == 0);
      CHECK_FALSE(losses[2].defined());
      continue;
    }
    seen = true;
    REQUIRE(found->second.size() == batch.batch.boxes.size());
    const auto numbers = std::any_cast<torch::Tensor>(said.at("crowd"));
    double expected = 0;
    for (std::size_t b = 0; b < found->second.size(); ++b) {
      if (found->second[b].defined()) {
        const auto boxes = static_cast<double>(batch.batch.boxes[b].size());
        expected += std::abs(numbers[static_cast<std::int64_t>(b)][0].item<double>() - boxes / 10);
      }
    }
    CHECK(losses[2].item<double>() == Approx(expected).epsilon(1e-5));
    CHECK(losses[3].item<double>() > 0);
  }
  CHECK(seen);
}

TEST_CASE("a task of any kind is trained, saved, evaluated and told", "[bevfusion][tasks]") {
  const RunConfig config = crowd_config();
  const Kinds with = with_crowd();
  const bevfusion::testing::TemporaryFolder folder;
  TrainerOptions options;
  options.out = folder.path();
  Network network = make_network(config, with);
  const auto evaluated = [&config](Network& of) {
    return evaluate(of, TinyData::get().tables, TinyData::get().validation, config);
  };
  options.evaluate = evaluated;
  CHECK(Trainer(config, network, TinyData::get().tables, TinyData::get().training, options).run().finished);

  const auto lines = bevfusion::testing::log_lines(folder.path());
  CHECK(lines.front().at("tasks") == std::vector<std::string>{"detection", "segmentation", "count", "any"});
  CHECK(lines.at(1).at("losses").contains("count"));
  CHECK(lines.at(1).at("losses").contains("any"));
  CHECK(lines.at(1).at("norms").at("any").get<double>() > 0);

  Network read = make_network(config, with);
  CHECK_FALSE(bevfusion::testing::equal(read, network));
  load_network(folder.path() / "checkpoint.pt", read);
  CHECK(bevfusion::testing::equal(read, network));
  CHECK(network->named_parameters().contains("model.crowd.weight"));

  const EvaluationFigures figures = evaluated(read);
  double error = 0;
  predict(read, TinyData::get().tables, TinyData::get().validation, config, [&](const SamplePrediction& one) {
    error += std::abs(*one.of<double>("crowd") - static_cast<double>(one.truth.size())) / 5;
  });
  REQUIRE(figures.of<CrowdFigures>("crowd") != nullptr);
  CHECK(figures.of<CrowdFigures>("crowd")->mean() == Approx(error));
  const auto json = figures_json(figures, {});
  CHECK(json.at("count_error").get<double>() == Approx(error));
  CHECK(json.at("crowd").at("errors").size() == 5);
  CHECK(lines.back().at("kind") == "evaluation");
  CHECK(lines.back().at("count_error").get<double>() == Approx(error));
  CHECK(figures_text(figures).find("count error ") != std::string::npos);
}

TEST_CASE("a task has a tower, or a BEV backbone, of its name", "[bevfusion][tasks]") {
  RunConfig config = crowd_config();
  config.model.separate_towers = true;
  const Network towers(config.model, with_crowd());
  REQUIRE(towers->towers().size() == 3);
  CHECK(towers->named_parameters().contains("crowd_tower.crowd.weight"));
  CHECK(towers->tasks().size() == 3);
  config.model.separate_towers = false;
  config.model.separate_bev = true;
  const Network bev(config.model, with_crowd());
  CHECK(bev->named_modules().contains("model.crowd_bev"));
  BevFusion tower = bev->towers().front();
  CHECK_THROWS_AS(tower->say("foreground", torch::zeros({1})), std::invalid_argument);
}

TEST_CASE("the program's tasks have what their sheets promise", "[bevfusion][tasks]") {
  std::vector<std::string> figures;
  for (const FigureSheet& figure : figure_sheets()) {
    CHECK(std::count(figures.begin(), figures.end(), figure.name) == 0);
    figures.push_back(figure.name);
  }
  RunConfig config = tiny_config();
  for (const TaskSheet& sheet : head_sheets()) {
    config.model.parts.tasks[sheet.name] = true;
  }
  const EvaluationFigures none = [&] {
    Network network = make_network(config);
    return evaluate(network, TinyData::get().tables, {}, config);
  }();
  std::vector<std::string> told;
  for (const auto& task : none.tasks) {
    const auto named = kinds().tasks.at(task.first)->sheet().figures;
    const auto headline = task.second->headline();
    REQUIRE(headline.size() == named.size());
    for (std::size_t i = 0; i < named.size(); ++i) {
      CHECK(headline[i].first == named[i].name);
      told.push_back(named[i].name);
    }
  }
  CHECK(told == figures);
}
