// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "bevfusion/nuscenes/tables.hpp"

namespace bevfusion {

/// Reads the tables that `open` opens, by their JSON alone; errors call a file folder/"sample_data.json".
Tables parse_tables(const std::filesystem::path& root, const std::filesystem::path& folder, const TableOpener& open,
                    const TablesOptions& options);

}  // namespace bevfusion
