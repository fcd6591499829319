// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <iosfwd>
#include <string>
#include <vector>

#include "bevfusion/config/run_config.hpp"

namespace bevfusion {

/// A key of a config file with its section, and its values as text.
struct ConfigEntry {
  std::string name;
  std::vector<std::string> values;
};

/// The keys of a TOML file, in its order. A file may hold all fields or a few.
/// @throws std::invalid_argument for a file that cannot be read, or a key that is there twice
std::vector<ConfigEntry> read_entries(const std::filesystem::path& file);

/// The last value given for `size`, or nothing.
std::string size_among(const std::vector<ConfigEntry>& entries);

/// Sets the fields that are named.
/// @param where  what the entries are from, for errors
/// @throws std::invalid_argument for an unknown key or a value that the field cannot have
void apply(const std::vector<ConfigEntry>& entries, RunConfig& config, const std::string& where);

/// The defaults of the file's `size` (full where it names none), with what the file says in their place.
/// @throws std::invalid_argument as above, and where the whole makes no run (see check())
RunConfig read_config(const std::filesystem::path& file);

/// Writes every field as TOML, each under its explanation. Reads back equal.
/// @throws std::invalid_argument for a text that the reader would not read back: one with quotes, line breaks or '#'
void write_config(const RunConfig& config, std::ostream& out);

/// The same as a file, which is there whole or not at all.
void write_config(const RunConfig& config, const std::filesystem::path& file);

/// Names of the fields that differ.
std::vector<std::string> differences(const RunConfig& a, const RunConfig& b);

}  // namespace bevfusion
