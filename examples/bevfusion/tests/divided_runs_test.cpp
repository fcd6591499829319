// SPDX-License-Identifier: Apache-2.0
// Runs of several processes: each batch divided among them, they learn what one process with all of it does.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <torch/torch.h>
#include <nlohmann/json.hpp>

#include "bevfusion/evaluation/decode.hpp"
#include "bevfusion/evaluation/evaluate.hpp"
#include "bevfusion/evaluation/figures_json.hpp"
#include "bevfusion/model/batch_norm.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/ranks/rank_store.hpp"
#include "bevfusion/ranks/run_ranks.hpp"
#include "bevfusion/tasks/detection_figures.hpp"
#include "bevfusion/tests/support/tiny_run.hpp"
#include "bevfusion/training/divided_batch.hpp"
#include "support/catch.hpp"
#include "support/rank_processes.hpp"

namespace divided_runs_test {

using bevfusion::testing::tiny_config;
using bevfusion::testing::TinyData;
using fuller::testing::RankProcesses;
using Environment = std::map<std::string, std::string>;

std::optional<bevfusion::Launched> launched_in(const Environment& environment) {
  return bevfusion::launched([&environment](const char* name) -> const char* {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  });
}

TEST_CASE("a rank is what its launcher's environment says", "[bevfusion][ranks]") {
  CHECK_FALSE(launched_in({}));
  CHECK_FALSE(launched_in({{"MASTER_PORT", "29500"}, {"LOCAL_RANK", "1"}}));
  const Environment third{
      {"RANK", "2"}, {"WORLD_SIZE", "4"}, {"LOCAL_RANK", "0"}, {"MASTER_ADDR", "node7"}, {"MASTER_PORT", "29500"}};
  const auto place = launched_in(third);
  REQUIRE(place);
  CHECK(place->rank == 2);
  CHECK(place->size == 4);
  CHECK(place->local_rank == 0);
  CHECK(place->address == "node7");
  CHECK(place->port == 29500);
  CHECK_FALSE(place->served);
  // torchrun serves the store itself, and starts again with another count.
  Environment again = third;
  again["TORCHELASTIC_USE_AGENT_STORE"] = "True";
  again["TORCHELASTIC_RESTART_COUNT"] = "3";
  CHECK(launched_in(again)->served);
  CHECK(launched_in(again)->attempt == "3");
  Environment no_local = third;
  no_local.erase("LOCAL_RANK");
  CHECK(launched_in(no_local)->local_rank == 2);
  CHECK(launched_in({{"RANK", "0"}, {"WORLD_SIZE", "1"}})->size == 1);

  const auto refusal = [&third](const std::string& name, const std::string& value) -> std::string {
    Environment other = third;
    value.empty() ? static_cast<void>(other.erase(name)) : static_cast<void>(other[name] = value);
    try {
      static_cast<void>(launched_in(other));
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  CHECK(refusal("RANK", "2").empty());
  for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{{"RANK", ""},
                                                                                    {"RANK", "4"},
                                                                                    {"RANK", "-1"},
                                                                                    {"RANK", "2x"},
                                                                                    {"WORLD_SIZE", ""},
                                                                                    {"WORLD_SIZE", "0"},
                                                                                    {"MASTER_ADDR", ""},
                                                                                    {"MASTER_PORT", ""},
                                                                                    {"MASTER_PORT", "65536"}}) {
    INFO(name << " '" << value << "'");
    CHECK(refusal(name, value).find(name) == 0);
  }
}

TEST_CASE("ranks divide a batch without a rest and without a sample twice", "[bevfusion][ranks]") {
  for (std::size_t size = 0; size < 12; ++size) {
    std::vector<std::size_t> batch(size);
    for (std::size_t i = 0; i < size; ++i) {
      batch[i] = 100 + 7 * i % size;
    }
    for (int ranks = 1; ranks < 6; ++ranks) {
      std::vector<std::size_t> together;
      std::size_t least = size;
      std::size_t most = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        const auto mine = bevfusion::members_of(batch, {rank, ranks});
        together.insert(together.end(), mine.begin(), mine.end());
        least = std::min(least, mine.size());
        most = std::max(most, mine.size());
      }
      CHECK(together == batch);
      CHECK(most - least <= 1);
      CHECK((size == 0 || !bevfusion::members_of(batch, {0, ranks}).empty()));  // the first, which writes, is never idle
    }
  }
}

/// What is told of figures, without how long it took.
std::string text_of(nlohmann::ordered_json figures) {
  figures.at("detection").erase("eval_time");
  return figures.dump();  // NaN is null there
}

TEST_CASE("figures of found boxes are the same from parts", "[bevfusion][ranks]") {
  const bevfusion::RunConfig config = tiny_config();
  const bevfusion::Tables& tables = TinyData::get().tables;
  const auto& rows = TinyData::get().validation;
  bevfusion::DetectionFigures whole(tables, config);
  std::vector<std::unique_ptr<bevfusion::DetectionFigures>> parts;
  for (std::size_t k = 0; k < rows.size(); ++k) {
    bevfusion::SamplePrediction prediction;
    prediction.sample = rows[k];
    std::vector<bevfusion::ScoredBox> found;
    for (bevfusion::Box3D box : bevfusion::key_frame_of(tables, rows[k], {1, config.loading.box_labels}).boxes) {
      const auto nth = static_cast<double>(found.size());
      box.center.x() += 0.3 * std::fmod(nth, 5);
      found.push_back({box, 1 / (2 + std::fmod(nth, 3))});  // many equal scores, whose order counts
    }
    prediction.said["detection"] = found;
    whole.add(prediction);
    if (k % 2 == 0) {
      parts.push_back(std::make_unique<bevfusion::DetectionFigures>(tables, config));
    }
    parts.back()->add(prediction);
  }
  REQUIRE(parts.size() == 3);
  for (std::size_t part = 1; part < parts.size(); ++part) {
    parts.front()->take(parts[part]->given().value());
  }
  const auto told = [](bevfusion::DetectionFigures& figures) {
    figures.finish();
    nlohmann::ordered_json out;
    figures.add_details(out);
    return text_of(out);
  };
  CHECK(told(*parts.front()) == told(whole));
  CHECK(whole.summary().mean_ap_of_present_classes() > 0.3);
}

TEST_CASE("figures that are put together from parts are those of all samples", "[bevfusion][ranks]") {
  bevfusion::RunConfig config = tiny_config();
  config.model.parts.tasks["foreground"] = true;
  check(config);
  bevfusion::Network network = bevfusion::make_network(config);
  const auto& rows = TinyData::get().validation;
  const auto evaluated = [&](int part, int of, std::vector<std::string> others, std::vector<std::string>* told) {
    bevfusion::EvaluationOptions options;
    options.divided = {part, of, [&](const std::string& said) {
                         if (told != nullptr) {
                           told->push_back(said);
                           return std::vector<std::string>();
                         }
                         others.insert(others.begin(), said);
                         return others;
                       }};
    return bevfusion::evaluate(network, TinyData::get().tables, rows, config, options);
  };
  const auto whole = evaluated(0, 1, {}, nullptr);
  REQUIRE(whole.samples == rows.size());
  for (const int parts : {2, 3, 5}) {  // of three batches: with five parts, two have none
    INFO(parts << " parts");
    std::vector<std::string> told;
    for (int part = 1; part < parts; ++part) {
      evaluated(part, parts, {}, &told);
    }
    REQUIRE(told.size() == static_cast<std::size_t>(parts - 1));
    const auto together = evaluated(0, parts, told, nullptr);
    CHECK(together.samples == rows.size());
    CHECK(text_of(figures_json(together, {})) == text_of(figures_json(whole, {})));
  }
  std::vector<std::string> told;
  evaluated(1, 2, {}, &told);
  CHECK_THROWS_AS(evaluated(0, 2, {told.front() + "x"}, nullptr), std::invalid_argument);
  CHECK_THROWS_AS(evaluated(0, 2, {told.front().substr(0, told.front().size() - 1)}, nullptr), std::invalid_argument);
}

/// Two tasks whose losses are means over labelled samples, on parted labels: some parts lack a task, some batches a part. (The
/// program refuses parted labels without detection, whose loss is divided by a rank's own boxes.)
bevfusion::RunConfig divided_config(const std::string& rule) {
  bevfusion::RunConfig config = tiny_config();
  config.model.parts.tasks["detection"] = false;
  config.model.parts.tasks["foreground"] = true;
  config.data.labels = "disjoint_normal";
  config.calibration.rule = rule;
  config.training.batch = 3;  // of ten samples: 3, 3, 3 and 1
  config.training.optimizer = "sgd";
  config.training.modality_dropout = 0.3;
  return config;
}

/// The same with all labels everywhere, and batch norms that see the whole batch.
bevfusion::RunConfig together_config(const std::string& rule) {
  bevfusion::RunConfig config = divided_config(rule);
  config.data.labels = "full";
  config.model.segmentation.dropout = 0;
  config.training.sync_batch_norm = true;
  check(config);
  return config;
}

/// Both tasks read the patch queries of one decoder, in which they are compared: a part that lacks a task has to take part there.
bevfusion::RunConfig unified_config(const std::string& rule) {
  bevfusion::RunConfig config = divided_config(rule);
  config.model.segmentation_head = "unified";
  return config;
}

/// What is learnt from an epoch, step by step: every gradient, then weights of tasks, gates and losses, at last the buffers.
///
/// Where batch norms see the whole batch the weights stay as they are: in single precision a step makes much of the rounding of
/// the one before, for a ReLU that turns is a whole term of a gradient.
class Learning {
 public:
  /// Where batch norms do not see the whole batch they use their running means: a sample's output does not depend on its company.
  Learning(const bevfusion::RunConfig& config, bevfusion::RunRanks* ranks)
      : config_(config),
        ranks_(ranks),
        network_(bevfusion::make_network(config_)),
        data_(TinyData::get().tables, TinyData::get().training, config_, network_->tasks(), bevfusion::part_of(ranks)) {
    network_->train(config.training.sync_batch_norm);
    const std::string rule =
        config.calibration.rule + " " + config.model.segmentation_head + (config.training.sync_batch_norm ? " together" : "");
    if (ranks != nullptr && config.training.sync_batch_norm) {
      norms_ = bevfusion::synchronise_batch_norm(*network_, ranks->beside("norms of " + rule));
    }
    for (const bevfusion::BevFusion& tower : network_->towers()) {
      towers_.push_back(
          std::make_unique<bevfusion::TowerTrainer>(tower, config_, ranks == nullptr ? fuller::Ranks() : ranks->of(rule)));
    }
  }

  std::vector<torch::Tensor> epoch() {
    std::vector<torch::Tensor> out;
    for (std::size_t k = 0; k < data_.batches(); ++k) {
      const bevfusion::TrainingBatch batch = data_.load(0, k);
      const auto losses = ranks_ == nullptr
                              ? std::vector<std::vector<double>>{towers_.front()->backward(batch.batch.input, batch, 1)}
                              : bevfusion::learn_together(*ranks_, towers_, network_, batch, batch.batch.input, 1, norms_.get());
      if (ranks_ != nullptr) {
        ranks_->average_gradients(network_->parameters());
      }
      for (const torch::Tensor& parameter : network_->parameters()) {
        out.push_back(parameter.grad().defined() ? parameter.grad().clone() : torch::zeros_like(parameter));
      }
      const auto seen = towers_.front()->diagnostics();
      for (const auto& numbers : {losses.front(), seen->weights, seen->gates}) {
        out.push_back(torch::nan_to_num(torch::tensor(numbers, torch::kDouble), -1.0));
      }
      if (!config_.training.sync_batch_norm) {
        towers_.front()->step({0.05, 0.9});
      }
      for (const torch::Tensor& parameter : network_->parameters()) {
        parameter.mutable_grad() = torch::Tensor();
      }
    }
    for (const torch::Tensor& buffer : network_->buffers()) {
      if (buffer.is_floating_point()) {
        out.push_back(buffer.clone());
      }
    }
    return out;
  }

 private:
  bevfusion::RunConfig config_;
  bevfusion::RunRanks* ranks_;
  bevfusion::Network network_;
  bevfusion::TrainingData data_;
  bevfusion::TowerTrainers towers_;
  std::shared_ptr<bevfusion::NormSums> norms_;
};

/// By a rule that reads losses too, at the last shared layer, and by one that compares all that is shared.
/// @param config  by a rule's name
std::vector<torch::Tensor> learnt(bevfusion::RunConfig (*config)(const std::string&), bevfusion::RunRanks* ranks) {
  std::vector<torch::Tensor> all;
  for (const char* rule : {"gradnorm", "pcgrad"}) {
    const auto of_rule = Learning(config(rule), ranks).epoch();
    all.insert(all.end(), of_rule.begin(), of_rule.end());
  }
  return all;
}

TEST_CASE("a rank of a divided run", "[.rank]") {
  torch::set_num_threads(1);
  const auto place = bevfusion::launched();
  REQUIRE(place);
  bevfusion::RunRanks ranks(*place, torch::kCPU, std::chrono::seconds(60));
  const std::string folder = std::getenv("FULLER_TEST_FOLDER");
  torch::save(learnt(divided_config, &ranks), folder + "/out." + std::to_string(place->rank));
  torch::save(learnt(together_config, &ranks), folder + "/together." + std::to_string(place->rank));
  torch::save(learnt(unified_config, &ranks), folder + "/unified." + std::to_string(place->rank));
  ranks.leave();
}

TEST_CASE("ranks learn from their parts what one process learns from whole batches", "[bevfusion][ranks]") {
  torch::set_num_threads(1);
  constexpr int size = 2;
  const fuller::testing::TemporaryFolder folder;
  const bevfusion::RankStore store(size);
  RankProcesses processes(
      size, "[.rank]", folder,
      {"MASTER_ADDR=127.0.0.1", "MASTER_PORT=" + std::to_string(store.port()), "TORCHELASTIC_USE_AGENT_STORE=True"});
  const std::map<std::string, std::vector<torch::Tensor>> expected = {{"out.", learnt(divided_config, nullptr)},
                                                                      {"unified.", learnt(unified_config, nullptr)}};
  const std::vector<torch::Tensor> expected_together = learnt(together_config, nullptr);
  std::map<std::string, std::vector<torch::Tensor>> first;
  std::vector<torch::Tensor> first_together;
  for (int rank = 0; rank < size; ++rank) {
    INFO("rank " << rank << ": " << fuller::testing::text_of(folder / ("log." + std::to_string(rank))));
    REQUIRE(processes.wait(rank, std::chrono::seconds(240)) == 0);
    std::vector<torch::Tensor> got;
    for (const auto& [file, wanted] : expected) {
      INFO(file);
      got.clear();
      torch::load(got, folder / (file + std::to_string(rank)));
      REQUIRE(got.size() == wanted.size());
      if (rank == 0) {
        first[file] = got;
      }
      double worst = 0;
      double longest = 0;
      for (std::size_t k = 0; k < got.size(); ++k) {
        CHECK(got[k].equal(first[file][k]));
        worst = std::max(worst, (got[k] - wanted[k]).norm().item<double>());
        longest = std::max(longest, wanted[k].norm().item<double>());
      }
      CHECK(longest > 0.1);
      CHECK(worst < 1e-5 * longest);
    }

    // Batch norms that see the whole batch, of which each tensor's gradient shows something.
    got.clear();
    torch::load(got, folder / ("together." + std::to_string(rank)));
    REQUIRE(got.size() == expected_together.size());
    first_together = rank == 0 ? got : first_together;
    for (std::size_t k = 0; k < got.size(); ++k) {
      INFO(k << ", of " << expected_together[k].numel());
      CHECK(got[k].equal(first_together[k]));
      CHECK((got[k] - expected_together[k]).norm().item<double>() < 1e-2 * expected_together[k].norm().item<double>() + 1e-6);
    }
  }
}

}  // namespace divided_runs_test
