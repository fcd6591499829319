// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace bevfusion {

/// What a table's file is told by.
struct TableStamp {
  std::string table;
  std::uint64_t bytes = 0;
  std::int64_t written = 0;    ///< when its content changed last, ns
  std::int64_t changed = 0;    ///< when anything of it did, its time of writing too, which anybody may set
  std::uint64_t checksum = 0;  ///< of its content

  bool same_times(const TableStamp& other) const { return written == other.written && changed == other.changed; }
};

/// Of all 13 tables of a folder, without their checksums; none where one is missing.
std::vector<TableStamp> stamps_of(const std::filesystem::path& folder);

/// Takes the times from stamps that are younger than `settled`: a file may change twice within what its file system's clock tells
/// apart.
void forget_young_times(std::vector<TableStamp>& stamps, std::chrono::milliseconds settled);

/// Whether the tables are those that `known` tells of: by size and times, or by size and, reading them, by checksum.
/// @param now  of the same tables; gets the checksums
/// @param read  gets whether any had to be read
bool same_tables(const std::filesystem::path& folder, const std::vector<TableStamp>& known, std::vector<TableStamp>& now,
                 bool& read);

}  // namespace bevfusion
