// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

namespace bevfusion {

/// Adds `report`, which compares finished runs.
void add_report_command(CLI::App& app);

}  // namespace bevfusion
