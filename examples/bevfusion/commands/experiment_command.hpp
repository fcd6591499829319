// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace bevfusion {

/// What `experiment` needs of a program that can train.
struct TrainingProgram {
  std::string libtorch;  ///< its version
  /// Of words of `train`: what --print-config prints. Empty in a program that cannot train.
  std::function<std::string(const std::vector<std::string>&)> print_config;
};

/// Adds `experiment`, which runs the papers' experiments.
void add_experiment_command(CLI::App& app, const TrainingProgram& program);

}  // namespace bevfusion
