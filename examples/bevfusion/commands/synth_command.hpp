// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

namespace bevfusion {

/// Adds `synth`, which writes a synthetic data set in nuScenes' format.
void add_synth_command(CLI::App& app);

}  // namespace bevfusion
