// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "bevfusion/nuscenes/tables.hpp"
#include "bevfusion/nuscenes/token.hpp"
#include "bevfusion/training/crc32c.hpp"

namespace bevfusion {

/// What a run is trained on, as a checkpoint holds it: first the data set's folder, then what a copy of it in another place has
/// too: the training samples and the lengths of the tables that hold boxes, poses and calibrations.
inline std::string trained_data(const Tables& tables, const std::vector<RowIndex>& samples) {
  Crc32c tokens;
  for (const RowIndex row : samples) {
    tokens.add(to_string(tables.samples.at(static_cast<std::size_t>(row)).token) + "\n");
  }
  std::string text = std::filesystem::absolute(tables.folder).lexically_normal().string() + "\n" +
                     std::to_string(samples.size()) + " samples " + std::to_string(tokens.value());
  for (const char* table : {"sample_annotation", "sample_data", "ego_pose", "calibrated_sensor"}) {
    std::error_code absent;
    const auto bytes = std::filesystem::file_size(tables.folder / (std::string(table) + ".json"), absent);
    text += std::string("\n") + table + " " + (absent ? "absent" : std::to_string(bytes));
  }
  return text;
}

/// A data set may move, but a run goes on with the one it began with.
/// @param of_checkpoint  its trained_data(), or nothing in one of a version that kept none
/// @throws std::runtime_error that names both folders
inline void expect_same_data(const std::filesystem::path& checkpoint, const std::string& of_checkpoint, const std::string& now) {
  const auto folder_of = [](const std::string& text) { return text.substr(0, text.find('\n')); };
  const auto rest_of = [](const std::string& text) { return text.substr(text.find('\n') + 1); };
  if (!of_checkpoint.empty() && rest_of(of_checkpoint) != rest_of(now)) {
    throw std::runtime_error(checkpoint.string() + ": the run was trained on " + folder_of(of_checkpoint) + ", and " +
                             folder_of(now) +
                             " is another data set, no copy of it; a run goes on with its data, or begins anew "
                             "in another folder, maybe from these weights (--init-lidar, --init-camera)");
  }
}

}  // namespace bevfusion
