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

/// Writes a file so that it is there whole, old or new, at any moment: under a temporary name beside it, brought to the disk,
/// then renamed.
/// @param write  called with the temporary name
/// @throws std::runtime_error where the disk or the folder refuses; what `write` throws
template <class Write>
void write_whole(const std::filesystem::path& file, const Write& write) {
  const std::filesystem::path temporary = file.string() + ".partial";
  write(temporary);
  const int handle = ::open(temporary.c_str(), O_RDONLY | O_CLOEXEC);
  const bool stored = handle >= 0 && ::fsync(handle) == 0;
  const std::string reason = stored ? "" : std::strerror(errno);
  if (handle >= 0) {
    ::close(handle);
  }
  if (!stored) {
    throw std::runtime_error("cannot be written (" + reason + ")");
  }
  std::filesystem::rename(temporary, file);
}

}  // namespace bevfusion
