// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

namespace bevfusion {

/// Adds `train`, which trains a network and writes its run's folder: config.toml, checkpoint.pt, log.jsonl, event files for
/// TensorBoard, evaluation.json.
void add_train_command(CLI::App& app);

}  // namespace bevfusion
