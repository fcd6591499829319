// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/output_file.hpp"

namespace bevfusion {

/// Writes scalars as TensorBoard reads them: a TFRecord file of protobuf `Event`s, named events.out.tfevents.TIME.HOST.NUMBER.
class EventFile {
 public:
  using Scalars = std::vector<std::pair<std::string, double>>;

  /// A new file in the folder.
  /// @param first_step  what TensorBoard has read of this step and later ones from the folder's other files no longer holds
  /// @throws std::runtime_error where it cannot be written
  EventFile(const std::filesystem::path& folder, std::int64_t first_step);

  /// Adds the values of a step and brings them to the file. TensorBoard keeps them in single precision.
  void add(std::int64_t step, const Scalars& scalars);

  const std::filesystem::path& path() const { return path_; }

 private:
  void record(const std::string& event);

  std::filesystem::path path_;
  std::optional<example::OutputFile> out_;
};

}  // namespace bevfusion
