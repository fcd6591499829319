// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

namespace bevfusion {

/// Adds `score`, which evaluates a submission, of this program or another one.
void add_score_command(CLI::App& app);

}  // namespace bevfusion
