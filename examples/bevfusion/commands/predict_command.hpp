// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

namespace bevfusion {

/// Adds `predict`, which writes what a run's network finds: a nuScenes submission, and pictures.
void add_predict_command(CLI::App& app);

}  // namespace bevfusion
