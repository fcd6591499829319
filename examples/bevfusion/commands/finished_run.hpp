// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/model/network.hpp"
#include "bevfusion/nuscenes/tables.hpp"

namespace bevfusion {

/// The options that say which run's network is to be used on which samples.
struct RunChoice {
  std::string run;         ///< the run's folder
  std::string checkpoint;  ///< checkpoint.pt of the folder where empty
  std::string split;       ///< the run's validation split where empty
  std::string data;        ///< what the run has, where empty
  std::string version;
  std::string device;
  std::string weights = "averaged";  ///< where the run has an average; or last
  int threads = 0;
  int batch = 0;

  /// @param samples  with the options that say which samples and how they are loaded
  void add_to(CLI::App& command, bool samples = true);
};

/// A run's config as chosen, its trained network and the samples.
struct FinishedRun {
  RunConfig config;
  std::filesystem::path checkpoint;
  std::string split;
  Tables tables;
  std::vector<RowIndex> samples;
  Network network{nullptr};
  bool averaged = false;  ///< its weights are an average
};

/// `count` of `size` positions, or all of them where they are fewer, evenly spread.
std::vector<std::size_t> evenly_spread(std::size_t count, std::size_t size);

/// @throws std::exception that says what is missing: config, checkpoint, data set, or any scene of the split
FinishedRun open_run(const RunChoice& choice);

}  // namespace bevfusion
