// SPDX-License-Identifier: Apache-2.0
// Twins: networks, or second heads, that are trained beside a network and teach it; against gradients formed by hand, runs of one
// task, runs that go on, ranks, and what makes no sense.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/config/config_file.hpp"
#include "bevfusion/distillation/feature_distance.hpp"
#include "bevfusion/distillation/responses.hpp"
#include "bevfusion/heads/waypoint_head.hpp"
#include "bevfusion/model/part_draws.hpp"
#include "bevfusion/ranks/rank_store.hpp"
#include "bevfusion/ranks/run_ranks.hpp"
#include "bevfusion/tests/support/tiny_run.hpp"
#include "bevfusion/training/task_losses.hpp"
#include "bevfusion/training/twin_networks.hpp"
#include "support/catch.hpp"
#include "support/rank_processes.hpp"

namespace twins_test {

using namespace bevfusion;
using bevfusion::testing::TemporaryFolder;
using bevfusion::testing::tiny_config;
using bevfusion::testing::TinyData;
namespace fs = std::filesystem;
using Samples = std::vector<RowIndex>;

RunConfig with_twins(const std::string& twins) {
  RunConfig config = tiny_config();
  config.calibration.rule = "none";
  config.calibration.gate = "none";
  config.distillation.twins = twins;
  config.distillation.least_score = 0;  // of networks that learnt nothing
  check(config);
  return config;
}

/// The same run with one of its tasks alone.
RunConfig alone(RunConfig config, const std::string& task) {
  config.model.parts.tasks.keep_only(task);
  config.distillation = DistillationConfig();
  config.calibration.rule = "none";
  config.calibration.gate = "none";
  complete(config);
  check(config);
  return config;
}

/// Weights of another training: a twin starts as the network does, and would say the same.
void stir(Network& network) {
  const torch::NoGradGuard no_grad;
  torch::manual_seed(29);
  for (torch::Tensor& weight : network->parameters()) {
    weight.add_(0.05 * torch::randn_like(weight));
  }
}

TrainingBatch batch_of(const RunConfig& config, const Network& network, std::size_t number) {
  return TrainingData(TinyData::get().tables, TinyData::get().training, config, network->tasks()).load(1, number);
}

Samples four_samples() { return {TinyData::get().training.begin(), TinyData::get().training.begin() + 4}; }

bool train(const RunConfig& config, const fs::path& folder, const Samples& samples, std::int64_t most = -1, bool resume = false,
           RunRanks* ranks = nullptr) {
  fs::create_directories(folder);
  TrainerOptions options;
  options.out = folder;
  options.most_steps = most;
  options.resume = resume;
  options.ranks = ranks;
  return Trainer(config, make_network(config), TinyData::get().tables, samples, options).run().finished;
}

/// The twins that a run's checkpoint holds.
TwinNetworks twins_in(const fs::path& folder, const RunConfig& config) {
  Network network = make_network(config);
  TwinNetworks twins(config, kinds(), nullptr);
  Teaching teaching;
  teaching.teachers = twins.teachers();
  TowerTrainers towers;
  towers.push_back(std::make_unique<TowerTrainer>(network->towers().front(), config, fuller::Ranks(), teaching));
  load_checkpoint(folder / "checkpoint.pt", network, towers, torch::kCPU, nullptr, &twins);
  return twins;
}

/// The first tensor in which two networks differ, with how many numbers of it; empty where they are equal bit for bit.
std::string first_difference(const Network& a, const Network& b) {
  const auto left = weights_by_name(a);
  const auto right = weights_by_name(b);
  for (std::size_t i = 0; i < std::max(left.size(), right.size()); ++i) {
    if (left.at(i).first != right.at(i).first) {
      return left[i].first + " and " + right[i].first;
    }
    if (!torch::equal(left[i].second, right[i].second)) {
      return left[i].first + ", " + std::to_string(left[i].second.ne(right[i].second).sum().item<std::int64_t>()) + " of " +
             std::to_string(left[i].second.numel());
    }
  }
  return "";
}

/// The longest difference of gradients from those of a loss, over the longest gradient.
double worst_difference(const torch::Tensor& loss, const std::vector<torch::Tensor>& of,
                        const std::vector<torch::Tensor>& gradients) {
  const auto expected = torch::autograd::grad({loss}, of, {}, true, false, true);
  double worst = 0;
  double longest = 0;
  for (std::size_t i = 0; i < of.size(); ++i) {
    const torch::Tensor want = expected[i].defined() ? expected[i] : torch::zeros_like(of[i]);
    const torch::Tensor got = gradients[i].defined() ? gradients[i] : torch::zeros_like(of[i]);
    worst = std::max(worst, (want - got).norm().item<double>());
    longest = std::max(longest, want.norm().item<double>());
  }
  return worst / longest;
}

std::vector<torch::Tensor> gradients_of(const std::vector<torch::Tensor>& parameters) {
  std::vector<torch::Tensor> gradients;
  for (const torch::Tensor& parameter : parameters) {
    gradients.push_back(parameter.grad().defined() ? parameter.grad().clone() : torch::Tensor());
  }
  return gradients;
}

/// What a network says of a batch: the shared representation, and by task.
struct Said {
  torch::Tensor shared;
  Outputs outputs;
};

Said said_of(Network& network, const TrainingBatch& batch) {
  BevFusion tower = network->towers().front();
  Said said;
  begin_draws({batch.draws}, "branches");
  const auto maps = tower->filled(tower->branches(batch.batch.input));
  begin_draws({batch.draws}, "shared");
  said.shared = tower->fuse(maps);
  said.outputs = labelled_outputs(tower, {said.shared}, batch);
  return said;
}

TEST_CASE("a step beside a twin is that of two plain networks, by hand", "[bevfusion][twins]") {
  RunConfig config = with_twins("segmentation");
  config.distillation.response = 2;
  config.distillation.features = 3;
  config.distillation.ramp = "sqrt";
  config.losses.weights["segmentation"] = 5;
  Network network = make_network(config);
  TwinNetworks twins(config, kinds(), nullptr);
  Teaching teaching;
  teaching.teachers = twins.teachers();
  stir(twins.all().front()->network());
  TowerTrainer trainer(network->towers().front(), config, {}, teaching);
  const TrainingBatch batch = batch_of(config, network, 0);
  REQUIRE(batch.epoch == 1);
  twins.learn(batch.batch.input, batch, 0.5);
  const std::vector<double> losses = trainer.backward(batch.batch.input, batch, 0.5);
  const std::vector<torch::Tensor> of_network = network->parameters();
  const std::vector<torch::Tensor> of_twin = twins.all().front()->network()->parameters();
  const auto network_gradients = gradients_of(of_network);
  const auto twin_gradients = gradients_of(of_twin);

  // By hand, on fresh networks of the same seed: batch norms have moved, weights have not.
  const RunConfig single = alone(config, "segmentation");
  Network plain = make_network(config);
  Network plain_twin = make_network(single);
  stir(plain_twin);
  const Said here = said_of(plain, batch);
  const Said there = said_of(plain_twin, batch);
  const std::vector<torch::Tensor> labels = task_losses(plain->towers().front(), here.outputs, batch, config);
  const torch::Tensor twin_loss = task_losses(plain_twin->towers().front(), there.outputs, batch, single).at(0);
  CHECK(losses.at(1) == Approx(labels.at(1).item<double>()));
  REQUIRE(twins.losses().size() == 1);
  CHECK(twins.losses()[0].first == "segmentation");
  CHECK(twins.losses()[0].second == Approx(twin_loss.item<double>()));
  CHECK(worst_difference(0.5 * 5 * twin_loss, plain_twin->parameters(), twin_gradients) < 1e-5);

  const auto masks = [](const Said& said) { return std::any_cast<torch::Tensor>(said.outputs.at("segmentation")); };
  const torch::Tensor p = masks(there).detach().sigmoid();
  const torch::Tensor q = masks(here).sigmoid();
  const torch::Tensor divergence = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean();
  const torch::Tensor mapped = torch::conv2d(here.shared, trainer.adapters().at(0).detach());
  const torch::Tensor known = there.shared.detach();
  const torch::Tensor cosine = (mapped * known).sum(1) / (mapped.norm(2, 1) * known.norm(2, 1));
  const torch::Tensor term = std::sqrt(0.24) * (2 * divergence + 3 * (1 - cosine.mean()));
  CHECK(trainer.taught().at(1) == Approx(term.item<double>()).epsilon(1e-3));
  CHECK(std::isnan(trainer.taught().at(0)));
  const torch::Tensor total = labels.at(0) + 5 * (labels.at(1) + term);
  CHECK(worst_difference(0.5 * total, plain->parameters(), network_gradients) < 1e-4);
  // And what the twin says matters, so a gradient without it is another.
  CHECK(worst_difference(0.5 * (labels.at(0) + 5 * labels.at(1)), plain->parameters(), network_gradients) > 1e-3);
}

TEST_CASE("a twin is the network of a run for its task alone, bit for bit", "[bevfusion][twins]") {
  RunConfig config = with_twins("detection,segmentation");
  config.calibration.rule = "imtl_g";
  config.calibration.gate = "gradient";
  config.training.accumulate = 2;
  config.training.modality_dropout = 0.3;
  check(config);
  const TemporaryFolder folder;
  const Samples& samples = TinyData::get().training;
  REQUIRE(train(config, folder.path() / "taught", samples));
  const TwinNetworks twins = twins_in(folder.path() / "taught", config);
  REQUIRE(twins.all().size() == 2);
  const auto lines = testing::log_lines(folder.path() / "taught");
  std::int64_t counted = 0;
  for (const auto& twin : twins.all()) {
    INFO(twin->task());
    const RunConfig single = alone(config, twin->task());
    REQUIRE(train(single, folder.path() / twin->task(), samples));
    const Network expected = testing::network_in(folder.path() / twin->task(), single);
    CHECK(first_difference(twin->network(), expected) == "");
    const auto of_single = testing::log_lines(folder.path() / twin->task());
    counted += of_single.at(0).at("parameters").get<std::int64_t>();
    REQUIRE(lines.size() == of_single.size());
    CHECK(lines.at(1).at("taught").at(twin->task()).get<double>() > 0);
  }
  CHECK(lines.at(0).at("twins") == "detection,segmentation");
  CHECK(lines.at(0).at("twin_parameters").get<std::int64_t>() == counted);
  Network plain = make_network(config);
  std::int64_t of_network = 0;
  for (const torch::Tensor& parameter : plain->parameters()) {
    of_network += parameter.numel();
  }
  CHECK(lines.at(0).at("parameters").get<std::int64_t>() == of_network);
}

RunConfig driver(double response, double features) {
  RunConfig config = tiny_config();
  config.model.parts.tasks["detection"] = false;
  config.model.parts.tasks["waypoints"] = true;
  config.calibration.rule = "none";
  config.calibration.gate = "none";
  config.model.segmentation.dropout = 0;
  config.distillation.twins = "waypoints,segmentation";
  config.distillation.twins_share = "trunk";
  config.distillation.response = response;
  config.distillation.features = features;
  config.distillation.ramp = "sqrt";
  complete(config);
  check(config);
  return config;
}

TEST_CASE("twins on the trunk learn with it, and gradients go both ways, by hand", "[bevfusion][twins]") {
  const RunConfig config = driver(0.7, 0.3);
  Network network = make_network(config);
  BevFusion tower = network->towers().front();
  Teaching teaching;
  teaching.twins = make_twin_heads(tower, config, kinds());
  REQUIRE(teaching.twins.size() == 2);
  TowerTrainer trainer(tower, config, {}, teaching);
  TrainingBatch batch;
  for (std::size_t number = 0; number < 5 && batch.batch.labels.count("waypoints") == 0; ++number) {
    const TrainingBatch one = batch_of(config, network, number);
    batch = kinds().tasks.at("waypoints")->is_labelled(one) ? one : batch;
  }
  REQUIRE(batch.batch.labels.count("waypoints") == 1);
  std::vector<torch::Tensor> all = network->parameters();
  for (const torch::Tensor& own : trainer.adapters()) {
    all.push_back(own);
  }
  const std::vector<double> losses = trainer.backward(batch.batch.input, batch, 1);
  const auto gradients = gradients_of(all);
  for (torch::Tensor& parameter : all) {
    parameter.mutable_grad() = torch::Tensor();
  }

  const Said said = said_of(network, batch);
  const std::vector<torch::Tensor> labels = task_losses(tower, said.outputs, batch, config);
  std::map<std::string, std::any> twin;
  for (const auto& head : teaching.twins) {
    twin[head->task()] = head->say(said.shared, batch.batch.input, batch);
  }
  const auto& way = std::any_cast<const WaypointChain&>(said.outputs.at("waypoints"));
  const auto& way_twin = std::any_cast<const WaypointChain&>(twin.at("waypoints"));
  const double ramp = std::sqrt(0.24);
  // The mean over labelled samples of |p - p'|, as the task's own loss.
  torch::Tensor of_labelled;
  double count = 0;
  for (std::size_t b = 0; b < batch.rows.size(); ++b) {
    const torch::Tensor& label = batch.batch.labels.at("waypoints")[b];
    if (label.defined()) {
      const torch::Tensor one = (way_twin.waypoints[static_cast<std::int64_t>(b)] - label).abs().mean();
      of_labelled = of_labelled.defined() ? of_labelled + one : one;
      count += 1;
    }
  }
  const torch::Tensor way_loss = of_labelled / count;
  // Neither side is a constant: one distance, whose gradient both have.
  const torch::Tensor way_term = ramp * (0.7 * 2 * (way.waypoints - way_twin.waypoints).abs().mean() +
                                         0.3 * (way.state - way_twin.state).square().sum() / 2.0);
  const auto both = [](const torch::Tensor& a, const torch::Tensor& b) {
    return mask_response(a, b.detach()) + mask_response(b, a.detach());
  };
  const torch::Tensor masks = std::any_cast<torch::Tensor>(said.outputs.at("segmentation"));
  const torch::Tensor masks_twin = std::any_cast<torch::Tensor>(twin.at("segmentation"));
  const torch::Tensor map_term = ramp * 0.7 * both(masks, masks_twin);
  const torch::Tensor map_loss =
      kinds().tasks.losses(*kinds().tasks.at("segmentation"), teaching.twins[1]->module(), masks_twin, batch, config).at(0);
  REQUIRE(trainer.tasks() == std::vector<std::string>{"segmentation", "waypoints"});
  CHECK(losses.at(0) == Approx(labels.at(0).item<double>()).epsilon(1e-4));
  CHECK(trainer.twin_losses().at(0) == Approx(map_loss.item<double>()).epsilon(1e-4));
  CHECK(trainer.twin_losses().at(1) == Approx(way_loss.item<double>()).epsilon(1e-4));
  // |p - p'| counts twice in value, once for each head as the constant, and once in each head's gradient.
  CHECK(trainer.taught().at(1) == Approx(way_term.item<double>()).epsilon(1e-4));
  CHECK(trainer.taught().at(0) == Approx(map_term.item<double>()).epsilon(1e-4));
  const torch::Tensor once =
      ramp * (0.7 * (way.waypoints - way_twin.waypoints).abs().mean() + 0.3 * (way.state - way_twin.state).square().sum() / 2.0);
  const torch::Tensor total = labels.at(0) + map_loss + map_term + labels.at(1) + way_loss + once;
  CHECK(worst_difference(total, all, gradients) < 1e-4);
  CHECK(worst_difference(labels.at(0) + map_term + labels.at(1) + once, all, gradients) > 1e-3);  // without the twins' losses
}

TEST_CASE("a run with twins that was stopped goes on as if it had not been", "[bevfusion][twins]") {
  for (const bool trunk : {false, true}) {
    INFO((trunk ? "twin heads" : "twin networks"));
    RunConfig config = trunk ? driver(1, 1) : with_twins("detection,segmentation");
    config.calibration.rule = "imtl_g";
    config.training.epochs = 1;
    config.training.checkpoint_every = 1;
    config.training.rows_every = 1;
    check(config);
    const TemporaryFolder folder;
    CHECK(train(config, folder.path() / "whole", four_samples()));
    CHECK_FALSE(train(config, folder.path() / "parted", four_samples(), 1));
    CHECK(train(config, folder.path() / "parted", four_samples(), -1, true));
    CHECK(testing::equal(testing::network_in(folder.path() / "parted", config),
                         testing::network_in(folder.path() / "whole", config)));
    CHECK(testing::log_lines(folder.path() / "parted") == testing::log_lines(folder.path() / "whole"));
    CHECK(testing::log_lines(folder.path() / "whole").at(2).at("twins").at("segmentation").get<double>() > 0);
    if (!trunk) {
      const TwinNetworks whole = twins_in(folder.path() / "whole", config);
      const TwinNetworks parted = twins_in(folder.path() / "parted", config);
      for (std::size_t i = 0; i < 2; ++i) {
        CHECK(first_difference(whole.all()[i]->network(), parted.all()[i]->network()) == "");
        CHECK_FALSE(testing::equal(whole.all()[i]->network(), make_network(twin_config(config, whole.all()[i]->task()))));
      }
    }
  }
}

std::string complaint(const RunConfig& config) {
  try {
    check(config);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("twins that make no sense are refused in words", "[bevfusion][twins]") {
  const auto says = [](const std::function<void(RunConfig&)>& change) {
    RunConfig config = with_twins("segmentation");
    change(config);
    return complaint(config);
  };
  const auto holds = [](const std::string& text, const std::string& part) {
    INFO(text);
    return text.find(part) != std::string::npos;
  };
  CHECK(says([](RunConfig&) {}).empty());
  CHECK(says([](RunConfig& c) { c.distillation.teachers = "detection=a"; }).empty());
  CHECK(holds(says([](RunConfig& c) { c.distillation.teachers = "segmentation=a"; }),
              "which has a teacher in distillation.teachers already (a)"));
  CHECK(
      holds(says([](RunConfig& c) { c.distillation.cache_teachers = true, c.loading.augment = false; }), "a twin, which learns"));
  CHECK(holds(says([](RunConfig& c) { c.distillation.twins = "foreground"; }), "no task of this run"));
  CHECK(holds(says([](RunConfig& c) { c.distillation.twins = "segmentation,segmentation"; }), "segmentation twice"));
  CHECK(holds(says([](RunConfig& c) { c.model.parts.tasks["detection"] = false; }), "there is one task"));
  CHECK(holds(says([](RunConfig& c) { c.model.separate_towers = true; }), "a network of its own"));
  CHECK(holds(says([](RunConfig& c) { c.model.separate_bev = true, c.distillation.twins_share = "trunk"; }), "BEV backbone"));
  CHECK(says([](RunConfig& c) { c.model.separate_bev = true; }).empty());
  CHECK(holds(says([](RunConfig& c) { c.distillation.twins = "", c.distillation.twins_share = "trunk"; }), "there are no twins"));
  CHECK(holds(says([](RunConfig& c) { c.distillation.response = c.distillation.features = 0; }), "teach nothing"));
  RunConfig config = tiny_config();
  apply({{"distillation.twins", {"detection", "segmentation"}, ""}}, config, "command line");
  CHECK(config.distillation.twins == "detection,segmentation");
}

/// Losses that are means over samples, batch norms of the whole batch: what ranks learn is what one process learns.
RunConfig divided() {
  RunConfig config = tiny_config();
  config.model.parts.tasks["detection"] = false;
  config.model.parts.tasks["foreground"] = true;
  config.model.segmentation.dropout = 0;
  config.calibration.rule = "uniform";
  config.calibration.gate = "none";
  config.training.batch = 3;  // of four samples: 3 and 1, of which a rank has none
  config.training.epochs = 1;
  config.training.optimizer = "sgd";
  config.training.learning_rate = 0.01;
  config.training.sync_batch_norm = true;
  config.distillation.twins = "segmentation";
  complete(config);
  check(config);
  return config;
}

RunConfig divided_alone() { return alone(divided(), "segmentation"); }

TEST_CASE("a rank of a run with a twin", "[.twin_rank]") {
  torch::set_num_threads(1);
  const auto place = launched();
  REQUIRE(place);
  RunRanks ranks(*place, torch::kCPU, std::chrono::seconds(60));
  const std::string folder = std::getenv("FULLER_TEST_FOLDER");
  const std::string which = std::getenv("FULLER_TEST_RUN");
  train(which == "taught" ? divided() : divided_alone(), fs::path(folder) / which, four_samples(), -1, false, &ranks);
  ranks.leave();
}

TEST_CASE("ranks average a twin's gradients as the network's", "[bevfusion][twins][ranks]") {
  torch::set_num_threads(1);
  const fuller::testing::TemporaryFolder folder;
  for (const std::string which : {"taught", "alone"}) {
    const RankStore store(2);
    fuller::testing::RankProcesses processes(2, "[.twin_rank]", folder,
                                             {"MASTER_ADDR=127.0.0.1", "MASTER_PORT=" + std::to_string(store.port()),
                                              "TORCHELASTIC_USE_AGENT_STORE=True", "FULLER_TEST_RUN=" + which});
    for (int rank = 0; rank < 2; ++rank) {
      INFO("rank " << rank << ": " << fuller::testing::text_of(folder / ("log." + std::to_string(rank))));
      REQUIRE(processes.wait(rank, std::chrono::seconds(240)) == 0);
    }
  }
  const RunConfig config = divided();
  const TwinNetworks taught = twins_in(folder / "taught", config);
  Network& twin = taught.all().front()->network();
  CHECK(first_difference(twin, testing::network_in(folder / "alone", divided_alone())) == "");

  REQUIRE(train(config, folder / "one", four_samples()));
  const TwinNetworks kept = twins_in(folder / "one", config);
  const auto apart = [](const Network& a, const Network& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a->parameters().size(); ++i) {
      sum += (a->parameters()[i] - b->parameters()[i]).square().sum().item<double>();
    }
    return std::sqrt(sum);
  };
  const double way = apart(kept.all().front()->network(), make_network(divided_alone()));
  CHECK(way > 1e-3);
  CHECK(apart(kept.all().front()->network(), twin) < 1e-2 * way);
  CHECK(apart(testing::network_in(folder / "one", config), testing::network_in(folder / "taught", config)) <
        1e-2 * apart(testing::network_in(folder / "one", config), make_network(config)));
  const auto lines = testing::log_lines(folder / "taught");
  const auto of_one = testing::log_lines(folder / "one");
  for (const std::size_t step : {1U, 2U}) {
    CHECK(lines.at(step).at("twins").at("segmentation").get<double>() ==
          Approx(of_one.at(step).at("twins").at("segmentation").get<double>()).epsilon(1e-4));
  }
}

}  // namespace twins_test
