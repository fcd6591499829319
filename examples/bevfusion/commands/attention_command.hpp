// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

namespace bevfusion {

/// bevfusion attention: where a run's sensors look at each other, drawn.
void add_attention_command(CLI::App& app);

}  // namespace bevfusion
