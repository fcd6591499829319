// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <limits>
#include <optional>
#include <string>

namespace bevfusion {

/// How far a run has come: what the runner writes beside log and checkpoint, in FOLDER/run.json.
struct RunFile {
  enum class Stage { begun, trained, evaluated, failed };

  Stage stage = Stage::begun;
  std::string message;      ///< of a failed one
  double wall_seconds = 0;  ///< of the sittings that ended; one that was killed took its time along
  double peak_bytes = std::numeric_limits<double>::quiet_NaN();
  std::string begun, ended;
  std::string commit, version, libtorch, machine;
};

/// @return nothing where the folder has none
/// @throws std::runtime_error naming the file where it is malformed
std::optional<RunFile> read_run_file(const std::filesystem::path& folder);
/// Replaces it whole. @throws std::runtime_error where it cannot be written
void write_run_file(const std::filesystem::path& folder, const RunFile& file);

}  // namespace bevfusion
