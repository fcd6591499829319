// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>

#include <fcntl.h>
#include <unistd.h>

namespace bevfusion {

/// Returns once a file's contents are on the disk.
/// @throws std::runtime_error where the disk refuses
inline void store(const std::filesystem::path& file) {
  const int handle = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  const bool stored = handle >= 0 && ::fsync(handle) == 0;
  const std::string reason = stored ? "" : std::strerror(errno);
  if (handle >= 0) {
    ::close(handle);
  }
  if (!stored) {
    throw std::runtime_error("cannot be written (" + reason + ")");
  }
}

/// Writes a file so that it is there whole, old or new, at any moment: under a temporary name beside it, brought to the disk,
/// then renamed.
/// @param write  called with the temporary name
/// @throws std::runtime_error where the disk or the folder refuses; what `write` throws
template <class Write>
void write_whole(const std::filesystem::path& file, const Write& write) {
  const std::filesystem::path temporary = file.string() + ".partial";
  write(temporary);
  store(temporary);
  std::filesystem::rename(temporary, file);
}

}  // namespace bevfusion
