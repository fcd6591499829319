// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/nuscenes/splits.hpp"

namespace bevfusion {

/// The samples of a split, as far as the data set has its scenes: nuScenes comes in parts.
struct SplitSamples {
  std::vector<RowIndex> rows;
  std::size_t scenes = 0;   ///< that are there
  std::size_t missing = 0;  ///< scenes of the split that are not
  std::string called;       ///< the split as asked for, and what that means where it is another
};

/// @throws DataError for an unknown split
inline SplitSamples samples_of_split(const Tables& tables, const std::string& split) {
  SplitSamples out;
  const std::string official = official_name(tables.folder, split);
  out.called = official == split ? split : split + " (" + official + " in " + tables.folder.filename().string() + ")";
  std::vector<std::string> there;
  for (const std::string& scene : scenes_of_split(tables.folder, split)) {
    const bool found =
        std::any_of(tables.scenes.begin(), tables.scenes.end(), [&scene](const SceneRow& row) { return row.name == scene; });
    if (found) {
      there.push_back(scene);
    } else {
      ++out.missing;
    }
  }
  out.scenes = there.size();
  out.rows = samples_of_scenes(tables, there);
  return out;
}

/// As samples_of_split(), for who cannot go on without one: @throws std::invalid_argument where the data set has no scene of the
/// split; the message names those it has scenes of, and `option`, by which another is chosen
inline SplitSamples samples_needed(const Tables& tables, const std::string& split, const std::string& option) {
  SplitSamples out = samples_of_split(tables, split);
  if (out.rows.empty()) {
    std::string others;
    for (const std::string& name : known_splits(tables.folder)) {
      const SplitSamples other = samples_of_split(tables, name);
      if (!other.rows.empty()) {
        others += (others.empty() ? "" : ", ") + name + " (" + std::to_string(other.scenes) + ")";
      }
    }
    throw std::invalid_argument(
        "no scene of split " + out.called + " is in " + tables.folder.string() +
        (others.empty() ? "; no split has any" : "; there are scenes of: " + others + "; " + option + " chooses"));
  }
  return out;
}

}  // namespace bevfusion
