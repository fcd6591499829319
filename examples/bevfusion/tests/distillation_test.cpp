// SPDX-License-Identifier: Apache-2.0
// Distillation from frozen experts: distances against their formulas, experts that stay as they are, terms that are part of a
// task's loss before it is calibrated, runs that go on, and what does not fit.
#include <cmath>
#include <cstdint>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/config/config_file.hpp"
#include "bevfusion/config/teacher_list.hpp"
#include "bevfusion/distillation/distiller.hpp"
#include "bevfusion/distillation/expert.hpp"
#include "bevfusion/distillation/feature_distance.hpp"
#include "bevfusion/distillation/responses.hpp"
#include "bevfusion/tests/support/tiny_run.hpp"
#include "bevfusion/training/task_losses.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;
using bevfusion::testing::TemporaryFolder;
using bevfusion::testing::tiny_config;
using bevfusion::testing::TinyData;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// KL of Bernoulli(q) from Bernoulli(p).
double divergence(double p, double q) { return p * std::log(p / q) + (1 - p) * std::log((1 - p) / (1 - q)); }

std::string complaint(const std::function<void()>& act) {
  try {
    act();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// Detections of one sample on a grid of 4 x 4 cells of a metre, with two classes.
Detections detections(std::int64_t queries) {
  Detections said;
  said.heat_map = torch::randn({1, 2, 4, 4});
  said.class_logits = torch::randn({1, 2, queries});
  said.centre = 4 * torch::rand({1, 2, queries});
  said.height = torch::randn({1, 1, queries});
  said.size = 0.3 * torch::randn({1, 3, queries});
  said.heading = torch::randn({1, 2, queries});
  said.velocity = torch::randn({1, 2, queries});
  said.query_class = torch::zeros({1, queries}, torch::kLong);
  said.query_score = torch::full({1, 2, queries}, 0.5);
  return said;
}

BoxCoder small_coder() { return BoxCoder{BevGrid{0, 0, 1, 4, 4}}; }

RunConfig expert_config(const std::string& task) {
  RunConfig config = tiny_config();
  config.model.parts.tasks.keep_only(task);
  config.calibration.rule = "none";
  config.calibration.gate = "none";
  complete(config);
  check(config);
  return config;
}

/// A folder as a run of the task leaves it, its network as it began.
void write_run(const std::filesystem::path& folder, const RunConfig& config) {
  std::filesystem::create_directories(folder);
  write_config(config, folder / "config.toml");
  save_checkpoint(folder / "checkpoint.pt", make_network(config), {}, {}, torch::kCPU);
}

/// Two single-task runs, and a run that they teach.
struct Taught {
  Taught() {
    for (const char* task : {"detection", "segmentation"}) {
      RunConfig of_expert = expert_config(task);
      of_expert.training.seed = 17;
      write_run(folder.path() / task, of_expert);
    }
    config.distillation.teachers = teacher_list(
        {{"detection", (folder.path() / "detection").string()}, {"segmentation", (folder.path() / "segmentation").string()}});
    config.distillation.least_score = 0;  // of networks that learnt nothing
    config.model.detection.dropout = config.model.segmentation.dropout = 0;
  }
  TrainingBatch batch(std::size_t number = 0) const {
    return TrainingData(TinyData::get().tables, TinyData::get().training, config).load(1, number);
  }

  TemporaryFolder folder;
  RunConfig config = tiny_config();
};

}  // namespace

TEST_CASE("the divergence from an expert is Kullback's and Leibler's", "[bevfusion][distillation]") {
  const torch::Tensor logits = torch::tensor({-2.0, 0.3, 4.0}, torch::kDouble).requires_grad_();
  const torch::Tensor expert = torch::tensor({1.0, 0.3, -1.5}, torch::kDouble).requires_grad_();
  const torch::Tensor got = bernoulli_divergence(logits, expert);
  for (std::int64_t i = 0; i < 3; ++i) {
    const double p = sigmoid(expert[i].item<double>());
    const double q = sigmoid(logits[i].item<double>());
    CHECK(got[i].item<double>() == Approx(divergence(p, q)).margin(1e-12));
  }
  got.sum().backward();
  CHECK_FALSE(expert.grad().defined());
  CHECK(torch::allclose(logits.grad(), logits.sigmoid() - expert.sigmoid(), 0, 1e-12));
  CHECK(mask_response(logits, expert).item<double>() == Approx(got.mean().item<double>()));
  CHECK(holds(complaint([&] { mask_response(logits, expert.slice(0, 1)); }), "same grid and labels"));
}

TEST_CASE("boxes are compared at the expert's surest queries", "[bevfusion][distillation]") {
  torch::manual_seed(41);
  const Detections expert = detections(2);
  expert.class_logits[0][0][0] = 2.0;   // scores sigmoid(2) / 2 = 0.44
  expert.class_logits[0][0][1] = -3.0;  // and 0.02
  Detections said = detections(3);
  said.class_logits = torch::randn({1, 2, 1}).expand({1, 2, 3}).contiguous();  // places alone decide who is matched
  // The last query stands at the expert's box, the others at the far corner of the grid.
  for (std::int64_t axis = 0; axis < 2; ++axis) {
    const double place = expert.centre[0][axis][0].item<double>();
    said.centre[0][axis].fill_(place < 2 ? 3.9 : 0.1);
    said.centre[0][axis][2] = place + 0.05;
  }
  DetectionLossOptions options;
  options.heat_map = 0.7;
  options.classification = 0.5;
  options.regression = 0.3;
  double heat = 0;
  for (std::int64_t k = 0; k < 2; ++k) {
    for (std::int64_t cell = 0; cell < 16; ++cell) {
      const double p = sigmoid(expert.heat_map[0][k].flatten()[cell].item<double>());
      const double q = sigmoid(said.heat_map[0][k].flatten()[cell].item<double>());
      heat += (p - q) * (p - q) * divergence(p, q);
    }
  }
  double classes = 0;
  for (std::int64_t k = 0; k < 2; ++k) {
    classes +=
        divergence(sigmoid(expert.class_logits[0][k][0].item<double>()), sigmoid(said.class_logits[0][k][2].item<double>()));
  }
  double codes = 0;
  const auto apart = [&](const torch::Tensor& of_said, const torch::Tensor& of_expert, double weight) {
    codes += weight * (of_said[0].select(1, 2) - of_expert[0].select(1, 0)).abs().sum().item<double>();
  };
  apart(said.centre, expert.centre, 1);
  apart(said.height, expert.height, 1);
  apart(said.size, expert.size, 1);
  apart(said.heading, expert.heading, 1);
  apart(said.velocity, expert.velocity, 0.2);
  const auto response = [&](const Detections& of, double least) {
    return detection_response(of, expert, small_coder(), options, least).item<double>();
  };
  CHECK(response(said, 0.1) == Approx(0.7 * heat + 0.5 * classes + 0.3 * codes).epsilon(1e-5));
  CHECK(response(said, 0.9) == Approx(0.7 * heat).epsilon(1e-5));  // no box is so sure
  CHECK(response(expert, 0.1) == Approx(0).margin(1e-5));
  // Two boxes for one query: the surer one is taken.
  Detections one = said;
  for (torch::Tensor* field : {&one.class_logits, &one.centre, &one.height, &one.size, &one.heading, &one.velocity}) {
    *field = field->narrow(2, 2, 1);
  }
  CHECK(response(one, 0.0) == Approx(0.7 * heat + 0.5 * classes + 0.3 * codes).epsilon(1e-5));
}

TEST_CASE("features are compared by direction", "[bevfusion][distillation]") {
  // Two cells of two channels: at right angles and equal but for their length.
  const torch::Tensor map = torch::tensor({{1.0, 2.0}, {0.0, 2.0}}, torch::kDouble).view({1, 2, 1, 2}).requires_grad_();
  const torch::Tensor expert = torch::tensor({{0.0, 3.0}, {5.0, 3.0}}, torch::kDouble).view({1, 2, 1, 2}).requires_grad_();
  const torch::Tensor cosine = feature_distance(map, expert, "cosine");
  CHECK(cosine.item<double>() == Approx(0.5));
  // Whole maps (1, 2, 0, 2) / 3 and (0, 3, 5, 3) / sqrt 43: 2 - 2 cos, cos = 12 / (3 sqrt 43).
  const torch::Tensor whole = feature_distance(map, expert, "l2");
  CHECK(whole.item<double>() == Approx(2 - 8 / std::sqrt(43.0)));
  (cosine + whole).backward();
  CHECK_FALSE(expert.grad().defined());
  CHECK(feature_distance(7 * map, expert, "l2").item<double>() == Approx(whole.item<double>()));
  CHECK(feature_distance(map, 7 * map, "cosine").item<double>() == Approx(0).margin(1e-12));
  CHECK(holds(complaint([&] { feature_distance(map, expert, "l1"); }), "cosine, l2"));
}

TEST_CASE("the ramp is the repository's", "[bevfusion][distillation]") {
  CHECK(distillation_ramp("sqrt", 0) == Approx(0.2));
  CHECK(distillation_ramp("sqrt", 3) == Approx(0.8));
  CHECK(distillation_ramp("sqrt", 19) == Approx(std::sqrt(3.84)));
  CHECK(distillation_ramp("constant", 0) == 1);
  CHECK(distillation_ramp("constant", 19) == 1);
}

TEST_CASE("an expert is frozen and stays as it is", "[bevfusion][distillation]") {
  Taught run;
  const Teachers experts = load_experts(run.config);
  REQUIRE(experts.size() == 2);
  Network network = make_network(run.config);
  network->train();
  TowerTrainer trainer(network->towers().front(), run.config, {}, {experts, {}});
  const TrainingBatch batch = run.batch();
  const TeacherAnswer before = experts[1]->answer(batch.batch.input);
  const torch::Tensor masks = std::any_cast<torch::Tensor>(before.said);
  CHECK_FALSE(masks.requires_grad());
  CHECK_FALSE(before.shared.requires_grad());
  trainer.backward(batch.batch.input, batch, 1.0);
  trainer.step({1e-3, 0.9});
  CHECK(torch::equal(std::any_cast<torch::Tensor>(experts[1]->answer(batch.batch.input).said), masks));
  // What a run of its own says, in evaluation mode.
  const RunConfig config = read_run_config(run.folder.path() / "segmentation");
  Network alone = make_network(config);
  load_network(run.folder.path() / "segmentation" / "checkpoint.pt", alone);
  alone->eval();
  const torch::NoGradGuard no_grad;
  CHECK(torch::equal(std::any_cast<torch::Tensor>(alone->forward(batch.batch.input).at("segmentation")), masks));
}

TEST_CASE("what teachers add is part of each task's loss before it is calibrated", "[bevfusion][distillation]") {
  Taught run;
  run.config.calibration.rule = "uniform";
  run.config.calibration.surface = "last_shared";
  run.config.calibration.measure_every = 1;
  run.config.calibration.gate = "none";
  run.config.distillation.ramp = "sqrt";
  run.config.distillation.response = 2;
  run.config.distillation.features = 30;  // so that it is seen
  Network network = make_network(run.config);
  network->train();
  BevFusion tower = network->towers().front();
  const Teachers experts = load_experts(run.config);
  const TrainingBatch batch = run.batch();
  REQUIRE(batch.epoch == 1);
  TowerTrainer trainer(tower, run.config, {}, {experts, {}});
  const std::vector<double> losses = trainer.backward(batch.batch.input, batch, 1.0);
  const auto seen = trainer.diagnostics();
  REQUIRE(seen->norms.size() == 2);

  // The same by hand: adapters of the trainer, distances of what both say.
  tower->zero_grad();
  const torch::Tensor z = tower->fuse(tower->filled(tower->branches(batch.batch.input)));
  const Outputs outputs = labelled_outputs(tower, {z}, batch);
  const std::vector<torch::Tensor> labels = task_losses(tower, outputs, batch, run.config);
  const double ramp = std::sqrt(0.24);
  for (std::size_t i = 0; i < 2; ++i) {
    INFO(seen->tasks[i]);
    const TeacherAnswer expert = experts[i]->answer(batch.batch.input);
    const torch::Tensor said =
        i == 0
            ? detection_response(tower->say_as<Detections>("detection", z), std::any_cast<Detections>(expert.said),
                                 BoxCoder{run.config.model.bev_grid()}, run.config.losses.detection, 0)
            : mask_response(std::any_cast<torch::Tensor>(outputs.at("segmentation")), std::any_cast<torch::Tensor>(expert.said));
    const torch::Tensor held =
        feature_distance(torch::conv2d(z, trainer.adapters().at(i)), expert.shared, run.config.distillation.feature_distance);
    const torch::Tensor term = ramp * (2 * said + 30 * held);
    CHECK(losses[i] == Approx(labels[i].item<double>()).epsilon(1e-4));  // labels alone
    CHECK(trainer.taught()[i] == Approx(term.item<double>()).epsilon(1e-4));
    const auto norm = [&](const torch::Tensor& loss) {
      return torch::autograd::grad({loss}, {tower->last_shared()}, {}, true)[0].norm().item<double>();
    };
    CHECK(seen->norms[i] == Approx(norm(labels[i] + term)).epsilon(1e-3));
    CHECK(std::abs(norm(labels[i] + term) / norm(labels[i]) - 1) > 0.01);
  }
}

TEST_CASE("a taught run that was stopped goes on as if it had not been", "[bevfusion][distillation]") {
  Taught run;
  run.config.training.epochs = 1;
  run.config.training.checkpoint_every = 1;
  run.config.distillation.ramp = "sqrt";
  const std::vector<RowIndex> samples(TinyData::get().training.begin(), TinyData::get().training.begin() + 4);  // two steps
  const auto train = [&](const std::filesystem::path& folder, std::int64_t most, bool resume) {
    std::filesystem::create_directories(folder);
    TrainerOptions options;
    options.out = folder;
    options.most_steps = most;
    options.resume = resume;
    Trainer trainer(run.config, make_network(run.config), TinyData::get().tables, samples, options);
    return trainer.run().finished;
  };
  CHECK(train(run.folder.path() / "whole", -1, false));
  CHECK_FALSE(train(run.folder.path() / "parted", 1, false));
  CHECK(train(run.folder.path() / "parted", -1, true));
  CHECK(testing::equal(testing::network_in(run.folder.path() / "parted", run.config),
                       testing::network_in(run.folder.path() / "whole", run.config)));
  const auto lines = testing::log_lines(run.folder.path() / "whole");
  CHECK(lines == testing::log_lines(run.folder.path() / "parted"));
  CHECK(lines.at(1).at("taught").at("detection").get<double>() > 0);
  CHECK(lines.at(1).at("taught").at("segmentation").get<double>() > 0);
  // Adapters are trained with the network and are none of its weights.
  Network plain = make_network(run.config);
  CHECK(lines.at(0).at("parameters").get<std::int64_t>() == [&] {
    std::int64_t count = 0;
    for (const torch::Tensor& parameter : plain->parameters()) {
      count += parameter.numel();
    }
    return count;
  }());
  RunConfig other = expert_config("detection");
  other.training.seed = 18;
  write_run(run.folder.path() / "detection", other);
  CHECK(holds(complaint([&] { train(run.folder.path() / "whole", -1, true); }), "the teacher of detection has other weights"));
}

TEST_CASE("what teachers say is kept where samples stay as they are", "[bevfusion][distillation]") {
  Taught run;
  run.config.loading.augment = false;
  run.config.distillation.least_score = 0.99;  // whether a box of an untrained network is the next or the one after is rounding
  BevFusion tower = make_network(run.config)->towers().front();
  tower->eval();
  const Teachers experts = load_experts(run.config);
  const auto terms_of = [&](Distiller& distiller, std::size_t number) {
    const TrainingBatch batch = run.batch(number);
    const torch::NoGradGuard no_grad;
    const torch::Tensor z = tower->fuse(tower->branches(batch.batch.input));
    const auto terms = distiller.terms(labelled_outputs(tower, {z}, batch), {}, {z}, batch.batch.input, batch);
    return std::vector<double>{terms.at(0).item<double>(), terms.at(1).item<double>()};
  };
  Distiller asks(tower, run.config, {experts, {}});
  run.config.distillation.cache_teachers = true;
  check(run.config);
  Distiller keeps(tower, run.config, {experts, {}});
  const std::vector<double> asked = terms_of(asks, 0);
  const std::vector<double> first = terms_of(keeps, 0);
  const std::size_t bytes = keeps.cached_bytes();
  CHECK(bytes > 0);
  CHECK(terms_of(keeps, 0) == first);  // to the last bit
  CHECK(keeps.cached_bytes() == bytes);
  CHECK(first[0] == Approx(asked[0]).epsilon(1e-4));
  CHECK(first[1] == Approx(asked[1]).epsilon(1e-4));
  CHECK(asks.cached_bytes() == 0);
  run.config.distillation.cache_mib = 1;
  Distiller forgets(tower, run.config, {experts, {}});
  const std::vector<double> within = terms_of(forgets, 0);
  CHECK(forgets.cached_bytes() <= (1U << 20U));
  CHECK(terms_of(forgets, 0) == within);
  run.config.loading.augment = true;
  CHECK(holds(complaint([&] { check(run.config); }), "loading.augment true it is another in each epoch"));
}

TEST_CASE("a teacher that does not fit is refused in words", "[bevfusion][distillation]") {
  Taught run;
  const std::filesystem::path there = run.folder.path() / "segmentation";
  const auto loading = [&](const std::string& teachers, const std::function<void(RunConfig&)>& change = {}) {
    RunConfig config = run.config;
    config.distillation.teachers = teachers;
    if (change) {
      change(config);
      complete(config);
    }
    return complaint([&] { load_experts(config); });
  };
  const std::string right = "segmentation=" + there.string();
  CHECK(loading(right).empty());
  CHECK(holds(loading("detection=" + there.string()), "the run has no task 'detection'; it has segmentation"));
  CHECK(holds(loading("detection=" + run.folder.path().string()), "no config.toml"));
  CHECK(holds(loading(right, [](RunConfig& c) { c.model.bev_cell = 0.4; }), "other values of model.bev_cell"));
  CHECK(holds(loading(right, [](RunConfig& c) { c.model.map_classes = "walkway"; }), "other values of model.map_classes"));
  CHECK(holds(loading(right, [](RunConfig& c) { c.loading.sweeps = 3; }), "other values of loading.sweeps"));
  CHECK(holds(loading(right, [](RunConfig& c) { c.model.parts.camera = false; }), "model.parts.camera is off"));
  std::ofstream(there / "checkpoint.pt") << "no archive";
  CHECK(holds(loading(right), "A checkpoint is read by a LibTorch of at least the version that wrote it"));
  std::filesystem::remove(there / "checkpoint.pt");
  CHECK(holds(loading(right), "has to be trained first"));
}

TEST_CASE("teachers are given one by one or in a list, and mean something", "[bevfusion][distillation]") {
  RunConfig config = tiny_config();
  apply({{"distillation.teachers", {"detection=a", "segmentation=b c"}, ""}}, config, "command line");
  CHECK(config.distillation.teachers == "detection=a,segmentation=b c");
  CHECK(teachers_in("detection=a, segmentation=b=c").back().second == "b=c");
  CHECK(holds(complaint([] { teachers_in("detection"); }), "no task=RUN"));
  CHECK(holds(complaint([] { teachers_in("detection=a,detection=b"); }), "two teachers of detection"));
  const auto checked = [](const std::function<void(DistillationConfig&)>& change) {
    RunConfig of = tiny_config();
    change(of.distillation);
    return complaint([&] { check(of); });
  };
  CHECK(checked([](DistillationConfig& d) { d.teachers = "detection=a"; }).empty());
  CHECK(holds(checked([](DistillationConfig& d) { d.teachers = "foreground=a"; }), "no task of this run"));
  CHECK(holds(checked([](DistillationConfig& d) { d.ramp = "sqrt"; }), "there are no teachers"));
  CHECK(holds(checked([](DistillationConfig& d) { d.cache_teachers = true; }), "there are no teachers"));
  CHECK(holds(checked([](DistillationConfig& d) { d.teachers = "detection=a", d.response = d.features = 0; }), "teach nothing"));
}
