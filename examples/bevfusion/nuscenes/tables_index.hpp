// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "bevfusion/nuscenes/tables.hpp"

namespace bevfusion {

/// Whether and where what was read of large tables is kept, so that the next process need not read them: one file, which may be
/// deleted at any time.
struct TablesIndex {
  enum class Place { none, beside_tables, folder };

  Place place = Place::beside_tables;
  std::filesystem::path folder;  ///< where it is kept under Place::folder; made where it is not there

  std::uintmax_t least = std::uintmax_t{64} << 20U;  ///< bytes of JSON from which on it pays: they take half a second to read
  std::chrono::milliseconds patience{120'000};       ///< so long another process is waited for that is making the file
  std::chrono::milliseconds settled{2'000};  ///< times of change younger than this do not yet tell one change from the next

  /// Is told, in a sentence, when a file was made, was not good, or cannot be kept; standard error where empty.
  std::function<void(const std::string&)> say;
};

/// What FULLER_TABLES_INDEX says: "off", "beside" (the default, also for nothing), or a folder. Throws std::invalid_argument for
/// a folder that is no absolute path.
/// @param value  of the variable; null where it is not set
TablesIndex tables_index_named(const char* value);

/// The same Tables as without an index, and the same DataError for tables that are not good.
///
/// The file holds size, times of change and checksum of each table, and is taken where the sizes are these and each table has
/// either these times or, read once more, this checksum; each megabyte of it has a checksum too. Where it is absent, of another
/// version, of other tables or damaged, the tables are read and it is made anew, beside and then renamed. One process makes it
/// while others wait for it; if that one ends, the next goes on. Where it cannot be written, the tables are read all the same.
Tables read_tables(const std::filesystem::path& root, const std::string& version, const TablesOptions& options,
                   const TablesIndex& index);

/// Where the file of these tables is: tables-*.index, a name for each set of options.
std::filesystem::path tables_index_file(const std::filesystem::path& root, const std::string& version,
                                        const TablesOptions& options, const TablesIndex& index);

}  // namespace bevfusion
