// SPDX-License-Identifier: Apache-2.0
// Batches that hold one task's labels alone: what is in them, on how many ranks, and what calibration is then.
#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/tests/support/tiny_run.hpp"
#include "bevfusion/training/training_data.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;
using bevfusion::testing::TemporaryFolder;
using bevfusion::testing::tiny_config;
using bevfusion::testing::TinyData;

RunConfig one_task_config(const std::string& labels) {
  RunConfig config = tiny_config();
  config.data.labels = labels;
  config.data.one_task_batches = true;
  check(config);
  return config;
}

/// "boxes" or "map", whichever all samples have alone; "both" where neither is.
std::string labels_in(const TrainingBatch& batch) {
  const auto samples = static_cast<std::int64_t>(batch.boxes_labelled.size());
  const std::int64_t boxes = std::count(batch.boxes_labelled.begin(), batch.boxes_labelled.end(), true);
  const auto maps = batch.batch.labelled.any(1).sum().item<std::int64_t>();
  return boxes == samples && maps == 0 ? "boxes" : boxes == 0 && maps == samples ? "map" : "both";
}

/// The network of a whole run.
Network learnt(RunConfig config, const std::string& rule, const std::string& gate) {
  config.calibration.rule = rule;
  config.calibration.gate = gate;
  check(config);
  const TemporaryFolder folder;
  TrainerOptions options;
  options.out = folder.path();
  Network network = make_network(config);
  Trainer(config, network, TinyData::get().tables, TinyData::get().training, options).run();
  return network;
}

TEST_CASE("an epoch has every sample once, in batches of one task on every rank", "[bevfusion][training][one_task]") {
  struct Policy {
    std::string labels;
    std::size_t with_boxes, with_map;
    std::multiset<std::size_t> sizes;  // of ten samples in batches of three
  };
  for (const Policy& policy : {Policy{"disjoint_balance", 5, 5, {2, 2, 3, 3}}, Policy{"disjoint_normal", 8, 2, {2, 2, 3, 3}}}) {
    RunConfig config = one_task_config(policy.labels);
    config.training.batch = 3;
    std::set<std::string> orders;
    for (const int ranks : {1, 2, 4}) {
      std::vector<std::unique_ptr<TrainingData>> parts;
      for (int rank = 0; rank < ranks; ++rank) {
        parts.push_back(std::make_unique<TrainingData>(TinyData::get().tables, TinyData::get().training, config,
                                                       std::vector<std::shared_ptr<const Task>>(), BatchPart{rank, ranks}));
      }
      REQUIRE(parts[0]->batches() == policy.sizes.size());
      for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
        INFO(policy.labels << ", " << ranks << " ranks, epoch " << epoch);
        std::set<RowIndex> seen;
        std::multiset<std::size_t> sizes;
        std::size_t with_boxes = 0;
        std::size_t with_map = 0;
        std::string order;
        for (std::size_t k = 0; k < parts[0]->batches(); ++k) {
          std::set<std::string> tasks;
          std::size_t samples = 0;
          for (const auto& part : parts) {
            const TrainingBatch batch = part->load(epoch, k);
            samples += batch.rows.size();
            seen.insert(batch.rows.begin(), batch.rows.end());
            if (!batch.rows.empty()) {
              tasks.insert(labels_in(batch));
            }
          }
          REQUIRE(tasks.size() == 1);
          CHECK(*tasks.begin() != "both");
          (*tasks.begin() == "boxes" ? with_boxes : with_map) += samples;
          sizes.insert(samples);
          order += tasks.begin()->front();
        }
        CHECK(seen.size() == 10);
        CHECK(with_boxes == policy.with_boxes);
        CHECK(with_map == policy.with_map);
        CHECK(sizes == policy.sizes);
        orders.insert(std::to_string(epoch) + order);
      }
    }
    CHECK(orders.size() == 3);  // the same on any number of ranks
  }
}

TEST_CASE("threads that load ahead hand out the same batches of one task", "[bevfusion][training][one_task]") {
  RunConfig config = one_task_config("disjoint_normal");
  config.data.threads = 3;
  const TrainingData data(TinyData::get().tables, TinyData::get().training, config);
  const std::size_t first = 2;  // as a run that goes on from there
  const auto ahead = data.prefetch(first);
  for (std::size_t number = first; number < 2 * data.batches(); ++number) {
    const auto batch = ahead->next();
    REQUIRE(batch.has_value());
    CHECK(batch->rows == data.load(static_cast<std::int64_t>(number / data.batches()), number % data.batches()).rows);
    CHECK(labels_in(*batch) != "both");
  }
}

TEST_CASE("one task a batch leaves a rule nothing to compare: IMTL-G learns what the sum learns, bit for bit",
          "[bevfusion][training][one_task]") {
  RunConfig config = one_task_config("disjoint_balance");
  config.training.accumulate = 2;
  CHECK(bevfusion::testing::equal(learnt(config, "imtl_g", "none"), learnt(config, "none", "none")));
  config.training.accumulate = 1;
  const Network summed = learnt(config, "none", "none");
  CHECK(bevfusion::testing::equal(learnt(config, "imtl_g", "none"), summed));
  // Gates compare branches, not tasks: they act, and are all that FULLER then is.
  const Network gated = learnt(config, "uniform", "gradient");
  CHECK_FALSE(bevfusion::testing::equal(gated, summed));
  CHECK(bevfusion::testing::equal(learnt(config, "imtl_g", "gradient"), gated));
  // Mixed, the rule has something to compare.
  RunConfig mixed = config;
  mixed.data.one_task_batches = false;
  CHECK_FALSE(bevfusion::testing::equal(learnt(mixed, "imtl_g", "none"), learnt(mixed, "none", "none")));
}

}  // namespace
