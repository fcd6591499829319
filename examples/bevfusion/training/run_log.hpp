// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "bevfusion/training/event_file.hpp"
#include "bevfusion/training/step_record.hpp"
#include "support/output_file.hpp"

namespace bevfusion {

/// What a run writes down as it goes: log.jsonl, a JSON object a line, and event files for TensorBoard, in the run's folder.
class RunLog {
 public:
  /// Goes on at a position of log.jsonl, which is cut there: what was written after the checkpoint that a run is resumed from
  /// happens once more. 0: a new log.
  /// @throws std::runtime_error where the folder cannot be written, or log.jsonl is shorter than that
  RunLog(const std::filesystem::path& folder, std::int64_t bytes, std::int64_t next_step);

  /// @throws std::runtime_error with file and reason where it cannot be written; log.jsonl then ends with the line before
  void add(const StepRecord& record);
  /// Another line, and its values for TensorBoard.
  void add(const std::string& json, std::int64_t step, const NamedValues& scalars);

  /// Brings log.jsonl to the disk, so that a checkpoint may count on it even after a power failure.
  /// @return its length
  std::int64_t store_all();

 private:
  std::filesystem::path path_;
  std::optional<example::OutputFile> lines_;
  std::int64_t bytes_;
  EventFile events_;
};

}  // namespace bevfusion
