// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include <torch/serialize/output-archive.h>

namespace bevfusion {

/// Writes what LibTorch makes of an archive, a zip file, with its CRC-32C as the zip file's comment. The file is there whole, old
/// or new, at any moment. (LibTorch's own way to a file ends the program where the disk is full, and nothing that reads the file
/// looks at the checksums that are in it.)
/// @throws std::runtime_error, with file and reason, where it cannot be written
void write_archive(const std::filesystem::path& file, torch::serialize::OutputArchive& archive);

enum class Checksum { agrees, differs, absent };

/// Whether a file is as write_archive() wrote it. Reads it to its end.
/// @throws std::runtime_error, without the file's name, where it cannot be read
Checksum checksum_of(const std::filesystem::path& file);

}  // namespace bevfusion
