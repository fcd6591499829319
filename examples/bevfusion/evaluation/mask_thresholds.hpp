// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace bevfusion {

/// From which probability a cell of a class is drawn.
struct MaskThreshold {
  float value = 0.5F;
  bool picked = false;  ///< by an evaluation, as the class's best; else it is 0.5, or what was asked for
};

/// Thresholds of the map's classes and of the foreground's masks, by position.
struct MaskThresholds {
  std::vector<MaskThreshold> map, foreground;
};

/// The thresholds that an evaluation picked, so that masks are drawn as the figures count them; 0.5 for a class that it did not
/// label, or where there is no such file.
/// @param evaluation  evaluation.json of a run
/// @throws std::runtime_error naming the file, for one that is damaged
MaskThresholds picked_thresholds(const std::filesystem::path& evaluation, const std::vector<std::string>& map_names,
                                 const std::vector<std::string>& foreground_names);

/// One threshold for all.
MaskThresholds same_thresholds(float value, std::size_t map_classes, std::size_t foreground_masks);

}  // namespace bevfusion
