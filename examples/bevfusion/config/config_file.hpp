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
  std::string where;  ///< "FILE:LINE:COLUMN"; empty for what is of no file
};

/// The keys of a TOML file, in its order. A file may hold all fields or a few.
/// @throws std::invalid_argument, with file, line and column, for what is no TOML 1.0 (a key that is there twice, too), and for a
///         file that cannot be read
std::vector<ConfigEntry> read_entries(const std::filesystem::path& file);

/// The last value given for `size`, or nothing.
std::string size_among(const std::vector<ConfigEntry>& entries);

/// Sets the fields that are named.
/// @param where  what the entries are from, for errors of those that do not say so themselves
/// @throws std::invalid_argument for an unknown key, with the one that was likely meant, or a value that the field cannot have
void apply(const std::vector<ConfigEntry>& entries, RunConfig& config, const std::string& where);

/// The defaults of the file's `size` (full where it names none), with what the file says in their place.
/// @throws std::invalid_argument as above, and where the whole makes no run (see check())
RunConfig read_config(const std::filesystem::path& file);

/// The config of a run's folder, which write_config() wrote.
/// @throws std::invalid_argument as above, and where a field is not in it: half a config would be read as another one
RunConfig read_run_config(const std::filesystem::path& folder);

/// Writes every field as TOML, each under its explanation. Reads back equal.
/// @throws std::invalid_argument for a text that is no UTF-8
void write_config(const RunConfig& config, std::ostream& out);

/// The same as a file, which is there whole, old or new, at any moment.
/// @throws std::runtime_error, with file and reason, where it cannot be written
void write_config(const RunConfig& config, const std::filesystem::path& file);

/// Names of the fields that differ, or that one of the two lacks: a config has fields for each task that it knows.
std::vector<std::string> differences(const RunConfig& a, const RunConfig& b);

}  // namespace bevfusion
