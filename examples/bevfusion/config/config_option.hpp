// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "bevfusion/config/config_field.hpp"

namespace bevfusion {

/// Makes an option of a field: `--section.name`, and the short name where it has one. Parsing writes to where the field lies;
/// values out of range are refused.
CLI::Option* add_option(CLI::App& app, const ConfigField& field);

/// Sets a field from text, as the command line and config files write it.
/// @throws std::invalid_argument that starts with `where` and names the field.
void set_field(const ConfigField& field, const std::vector<std::string>& values, const std::string& where);

}  // namespace bevfusion
