// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

namespace bevfusion {

/// Adds the subcommands that this build has: all, or without LibTorch those that need none.
void add_commands(CLI::App& app);

}  // namespace bevfusion
