// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace bevfusion {

/// From which probability a cell of a class is drawn.
struct MaskThreshold {
  float value = 0.5F;
  bool picked = false;  ///< by an evaluation, as the class's best; else it is 0.5, or what was asked for
};

/// Thresholds of the tasks' masks, by the tasks' names and the masks' positions.
using MaskThresholds = std::map<std::string, std::vector<MaskThreshold>>;

/// Names of the tasks' masks.
using MaskNames = std::map<std::string, std::vector<std::string>>;

/// The thresholds that an evaluation picked, so that masks are drawn as the figures count them; 0.5 for a class that it did not
/// label, or where there is no such file.
/// @param evaluation  evaluation.json of a run
/// @throws std::runtime_error naming the file, for one that is damaged
MaskThresholds picked_thresholds(const std::filesystem::path& evaluation, const MaskNames& names);

/// One threshold for all.
MaskThresholds same_thresholds(float value, const MaskNames& names);

}  // namespace bevfusion
