// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

namespace bevfusion {

/// Adds `eval`, which evaluates a run's network.
void add_eval_command(CLI::App& app);

}  // namespace bevfusion
