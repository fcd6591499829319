// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <istream>
#include <memory>
#include <vector>

namespace bevfusion {

/// All bytes of a file; throws DataError where it cannot be read, is no ordinary file or larger than `most` bytes.
std::vector<std::uint8_t> read_bytes(const std::filesystem::path& file, std::uintmax_t most = 1U << 30U);

/// Opens a file for reading from its beginning through a buffer of a megabyte; nothing where it cannot be opened.
std::unique_ptr<std::istream> open_buffered(const std::filesystem::path& file);

/// Writes a file; throws DataError where it cannot be written whole.
void write_bytes(const std::filesystem::path& file, const void* bytes, std::size_t count);

}  // namespace bevfusion
