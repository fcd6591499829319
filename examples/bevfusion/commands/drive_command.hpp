// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

namespace bevfusion {

/// `bevfusion drive`: routes in the synthetic world, driven by a run's network.
void add_drive_command(CLI::App& app);

}  // namespace bevfusion
