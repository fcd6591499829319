// SPDX-License-Identifier: Apache-2.0
// A tiny data set and runs on it.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <torch/torch.h>
#include <nlohmann/json.hpp>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/synth/generate.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "bevfusion/training/checkpoint.hpp"
#include "bevfusion/training/split_samples.hpp"
#include "bevfusion/training/trainer.hpp"

namespace bevfusion::testing {

/// Ten synthetic samples for training and five for validation, written once a program.
struct TinyData {
  TinyData() {
    SynthOptions options = SynthOptions::tiny();
    options.out = folder.path();
    options.scenes = 3;
    options.samples = 5;
    options.sweeps = 1;
    options.seed = 4;
    options.validation_share = 0.34;
    generate(options);
    tables = read_tables(folder.path(), options.version);
    training = samples_of_split(tables, "train").rows;
    validation = samples_of_split(tables, "val").rows;
  }
  static const TinyData& get() {
    static const TinyData data;
    return data;
  }

  TemporaryFolder folder;
  Tables tables;
  std::vector<RowIndex> training;
  std::vector<RowIndex> validation;
};

/// Two epochs of five batches of two samples.
inline RunConfig tiny_config() {
  RunConfig config = run_of_size("tiny");
  config.data.root = TinyData::get().folder.path();
  config.loading.sweeps = 1;
  config.training.epochs = 2;
  config.training.batch = 2;
  config.training.checkpoint_every = 2;
  config.training.evaluate_every = 1;
  config.training.seed = 3;
  complete(config);
  check(config);
  return config;
}

/// The lines of log.jsonl without what depends on the clock.
inline std::vector<nlohmann::json> log_lines(const std::filesystem::path& folder) {
  std::ifstream in(folder / "log.jsonl");
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(in, line);) {
    lines.push_back(nlohmann::json::parse(line));
    lines.back().erase("seconds");
    lines.back().erase("waited");
    lines.back().erase("peak_memory");
  }
  return lines;
}

/// The network that a run's folder holds.
inline Network network_in(const std::filesystem::path& folder, const RunConfig& config) {
  Network network = make_network(config);
  load_network(folder / "checkpoint.pt", network);
  return network;
}

/// Whether two networks are equal bit for bit, running means and all.
inline bool equal(const Network& a, const Network& b) {
  const auto same = [](const std::vector<torch::Tensor>& x, const std::vector<torch::Tensor>& y) {
    bool all = x.size() == y.size();
    for (std::size_t i = 0; all && i < x.size(); ++i) {
      all = torch::equal(x[i], y[i]);
    }
    return all;
  };
  return same(a->parameters(), b->parameters()) && same(a->buffers(), b->buffers());
}

}  // namespace bevfusion::testing
